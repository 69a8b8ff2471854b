#include "cmd/interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A handler can leave word nowhere else. */
static volatile sig_atomic_t received, requested;

static void remember(int signal)
{
    received = signal;
}

void interrupt_install(void)
{
    struct sigaction action = {.sa_handler = remember, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    sigaction(SIGHUP, NULL, &before);
    if (before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, NULL); /* nohup */
}

static void remember_request(int signal)
{
    (void)signal;
    requested = 1;
}

void interrupt_install_request(void)
{
    struct sigaction action = {.sa_handler = remember_request, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
}

bool interrupt_take_request(void)
{
    if (!requested) return false;
    requested = 0;
    return true;
}

void interrupt_outlive_writes(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

int interrupt_signal(void)
{
    return received;
}

int interrupt_exit_code(int signal)
{
    return 128 + signal;
}
