/* scheduler_testing.h - opens the private structs of the scheduler to simulators. For tests. */
#ifndef RULES_SCHEDULER_TESTING_H
#define RULES_SCHEDULER_TESTING_H

#include "rules/scheduler_private.h"

#endif
