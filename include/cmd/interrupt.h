/*
 * Signals that ask to stop: SIGINT, SIGTERM, SIGHUP. The first is remembered, so that work can be
 * saved; a second of the same kind ends the program at once.
 */
#ifndef DDPM_CMD_INTERRUPT_H
#define DDPM_CMD_INTERRUPT_H

/* Remember them from here on instead of dying. SIGHUP stays ignored where it was (nohup). */
void interrupt_install(void);

/* The signal that came, or 0. */
int interrupt_signal(void);

/* The exit code of a program that `signal` stopped. */
int interrupt_exit_code(int signal);

#endif
