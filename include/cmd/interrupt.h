/*
 * Signals that ask to stop: SIGINT, SIGTERM, SIGHUP. The first is remembered, so that work can be
 * saved; a second of the same kind ends the program at once.
 */
#ifndef DDPM_CMD_INTERRUPT_H
#define DDPM_CMD_INTERRUPT_H

#include <stdbool.h>

/* Remember them from here on instead of dying. SIGHUP stays ignored where it was (nohup). */
void interrupt_install(void);

/* Do not die of a write: where a reader of the output has gone the work goes on, and a file that
 * grows too large fails to be written, like others. Before the first message. */
void interrupt_outlive_writes(void);

/* Remember SIGUSR1 too: it asks for what there is now, and the work goes on. */
void interrupt_install_request(void);

/* Whether it came since this was last asked. */
bool interrupt_take_request(void);

/* The signal that came, or 0. */
int interrupt_signal(void);

/* The exit code of a program that `signal` stopped. */
int interrupt_exit_code(int signal);

#endif
