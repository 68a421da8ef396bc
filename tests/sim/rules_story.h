/*
 * rules_story.h - tests of a server with rules that are written as stories: a claim, the rules, and
 * a script of steps and checks. For tests.
 *
 * A script is a list of steps, words and numbers, separated by spaces. "120s" lets that much time
 * pass; the others are in story_settings, story_take_step() and story_take_check(). A number is
 * made of terms from left to right, as in $+900/15. $ is the value of the story: each of the values
 * at the start of the script in turn ("for 1,2,5:", "for 0..29:", "for 300..327+3:"); after "seeds
 * 5:" it is the seed of the simulation, and the environment may ask for more of them (SEEDS=1000).
 * T is the time that passed, in seconds, ?60 a random number below 60. A check has a number or a
 * range: 45..47. In rules, too, $ is the value, and # is the name of a group that is evaluated in
 * the same millisecond as "a".
 */
#ifndef SIM_RULES_STORY_H
#define SIM_RULES_STORY_H

#include "base/log.h"
#include "sim/rules_sim.h"

struct story {
    const char *claim;
    const char *script;
    const char *rules[5]; /* the server begins with the first */
};

extern struct story_run {
    struct rules_sim s;
    const struct story *story;
    int64_t value, passed_s;
    uint64_t seed, random_count;
    const char *step, *at; /* in the script: the start and the end of the current step */
    char word[128];
    char rules[32768];
    uint32_t forgotten; /* alerts that were sent before "forget" */
    unsigned evaluations;
    bool (*more)(void);       /* takes other steps, may be NULL; false: it does not know the word */
    int64_t whole_rules;      /* index of the rules of the server that "same" compares with */
    int64_t recent_s;         /* "same" ignores the last seconds before the end */
    uint64_t warnings;        /* logged before the story */
    struct scheduler_job job; /* between "begin" and "end" */
} story_run;

/* --- words ------------------------------------------------------------------------------------ */

/* Takes the next word of the script into story_run.word; compares it. */
const char *story_word(void);
bool story_is(const char *word);

/* Take a number; take a number or range that `is` must be in. */
int64_t story_take_number(void);
void story_check(int64_t is);

/* Returns the rules of the story with its value filled in, a view until the next call. */
const char *story_rules(int64_t index);

/* --- tables ----------------------------------------------------------------------------------- */

#define STORY(claim, script, ...) \
    {                             \
        claim, script,            \
        {                         \
            __VA_ARGS__           \
        }                         \
    }
#define G(rules)              GROUP("g", rules)
#define EACH(interval, rules) "groups: [{name: g, interval: " interval ", rules: [" rules "]}]\n"

/* Runs each story as a test that is named by its claim. Returns the number of failed tests. */
int story_run_all(const struct story *stories, size_t count);

#endif
