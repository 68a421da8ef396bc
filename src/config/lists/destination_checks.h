/*
 * destination_checks.h - checks of texts and of combinations of keys of a destination: functions
 * for the rows of destination_keys.c. Others are in shared_checks.h.
 */
#ifndef CONFIG_LISTS_DESTINATION_CHECKS_H
#define CONFIG_LISTS_DESTINATION_CHECKS_H

#include "config/schema/schema.h"

/* each ${ has a name and a closing } */
/* the name is tenant */
/* the same, of object names */

#endif
