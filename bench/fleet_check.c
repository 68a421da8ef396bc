/*
 * fleet_check.c - checks that the values of a load keep their properties over a long time.
 *
 *     fleet_check CAPTURE.rw [SERIES] [SCRAPES]
 *
 * Prints a line for each class of series: how many; how many whose values left the class (a
 * constant that moved, an integer with a fraction, digits more than the model has); gauges that
 * left the model's range; falls of counters; series whose steps repeat with a period; the share of
 * steps that are zero, in the models and here. Status 1: something left its class or range, or is
 * periodic.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/fleet.h"
#include "lib/tool.h"

struct findings {
    uint64_t series, left_class, left_range, falls, periodic;
    uint64_t zero_steps, steps, model_zero_steps, model_steps;
};

static bool
in_class(const struct model *t, uint64_t bits)
{
    double v = bits_double(bits);
    if (t->behaviour == CONSTANT) return bits == t->bits[0];
    if (!isfinite(v) || t->behaviour == REAL) return true;
    return double_bits(round(v * t->scale) / t->scale) == bits;
}

/*
 * Returns the least period of the steps that fits in twice, found by their borders; 0 if they have
 * no period. Equal steps have none: they are a straight line.
 */
static uint32_t
period_of(const double *step, uint32_t count, uint32_t *border)
{
    uint32_t k = 0;
    border[0] = 0;
    for (uint32_t i = 1; i < count; i++) {
        while (k > 0 && memcmp(&step[i], &step[k], sizeof *step) != 0)
            k = border[k - 1];
        if (memcmp(&step[i], &step[k], sizeof *step) == 0) k++;
        border[i] = k;
    }
    uint32_t period = count - border[count - 1];
    return period > 1 && period * 2 <= count ? period : 0;
}

static void
look_at_model(struct findings *f, const struct model *t)
{
    for (uint32_t i = 1; i < t->count; i++) {
        f->model_steps++;
        f->model_zero_steps += t->bits[i] == t->bits[i - 1];
    }
}

static void
look_at_series(struct findings *f, struct active *a, double *step, uint32_t *border, uint32_t count)
{
    const struct model *t = a->like;
    uint64_t last = active_next(a);
    bool in = in_class(t, last), within = true;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bits = active_next(a);
        double v = bits_double(bits), before = bits_double(last);
        step[i] = v - before;
        in &= in_class(t, bits);
        within &= t->counter || !isfinite(v) || (a->now >= t->low && a->now <= t->high);
        f->falls += t->counter && v < before;
        f->zero_steps += bits == last;
        last = bits;
    }
    f->series++;
    f->steps += count;
    f->left_class += !in;
    f->left_range += !within;
    f->periodic += period_of(step, count, border) > 0;
    look_at_model(f, t);
}

static bool
tell(const char *name, const struct findings *f)
{
    if (f->series == 0) return true;
    printf("%-16s series=%llu left_class=%llu left_range=%llu falls=%llu periodic=%llu "
           "zero_steps=%.3f model_zero_steps=%.3f\n",
           name, (unsigned long long)f->series, (unsigned long long)f->left_class,
           (unsigned long long)f->left_range, (unsigned long long)f->falls,
           (unsigned long long)f->periodic, (double)f->zero_steps / (double)f->steps,
           (double)f->model_zero_steps / (double)f->model_steps);
    return f->left_class + f->left_range + f->periodic == 0;
}

int
main(int argc, char **argv)
{
    struct fleet fleet = {0};
    struct findings found[BEHAVIOURS] = {0};
    if (argc < 2 || argc > 4) tell_usage("usage: fleet_check CAPTURE.rw [SERIES] [SCRAPES]\n", 0);
    uint64_t series = argc > 2 ? (uint64_t)parse_number("series", argv[2]) : 17400;
    uint32_t scrapes = argc > 3 ? (uint32_t)parse_number("scrapes", argv[3]) : 5760;
    if (scrapes < 4 || series == 0) die("too few to tell anything");
    fleet_read(&fleet, argv[1]);
    struct active *active = fleet_multiply(&fleet, series, 1, 15000);
    double *step = must(calloc(scrapes, sizeof *step));
    uint32_t *border = must(calloc(scrapes, sizeof *border));
    for (uint64_t i = 0; i < series; i++) {
        struct findings *f = &found[active[i].like->behaviour];
        look_at_series(f, &active[i], step, border, scrapes - 1);
    }
    bool fine = true;
    for (unsigned k = 0; k < BEHAVIOURS; k++)
        fine &= tell(behaviour_names[k], &found[k]);
    free(step);
    free(border);
    return fine ? 0 : 1;
}
