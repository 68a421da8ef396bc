/* begin.h - runs before the libraries of the process are initialized. */
#ifndef APP_BEGIN_H
#define APP_BEGIN_H

/*
 * Called by the loader with the arguments of main(), before the constructors of the libraries:
 *   - Descriptors 0 to 2 are never those of other files: one that is closed is opened on something
 *     that can neither be read nor written. LOCK or a part would be overwritten with log lines.
 *   - For `serve`, SIGHUP is blocked until the server takes it: a reload that is requested while
 *     the process starts is done after the start, and does not end the process.
 */
void process_begin(int argc, char **argv, char **environment);

#endif
