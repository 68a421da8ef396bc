/* scheduler_testing.h - opens the private structs of the scheduler to simulators. For tests. */
#ifndef RULES_SCHEDULE_SCHEDULER_TESTING_H
#define RULES_SCHEDULE_SCHEDULER_TESTING_H

#include "rules/schedule/scheduler_private.h"

#endif
