#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

static atomic_bool interrupted; /* relaxed: orders nothing */

static void
note(int number)
{
    atomic_store_explicit(&interrupted, true, memory_order_relaxed);
    signal(number, SIG_DFL);
}

const atomic_bool *
interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return &interrupted;
}
