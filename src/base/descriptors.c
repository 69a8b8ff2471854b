#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* `open` gives the least that is free: this one, as those below it are open. It stays open in what
 * is executed, which needs it as much. */
static bool occupy(int descriptor, int flags)
{
    if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) return true;
    return open("/dev/null", flags) == descriptor;
}

bool descriptors_occupy(void)
{
    return occupy(STDIN_FILENO, O_WRONLY) && occupy(STDOUT_FILENO, O_RDONLY) &&
           occupy(STDERR_FILENO, O_WRONLY);
}
