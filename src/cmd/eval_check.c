#include "cmd/eval_check.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool check_output(const char *option, const char *path, Err *err)
{
    char folder[FILE_PATH];
    if (!path) return true;
    if (file_is_folder(path))
        return err_set(err, ERR_USAGE, "--%s %s is a folder; name a file in it", option, path);
    file_parent(folder, path);
    if (!file_is_folder(folder))
        return err_set(err, ERR_FAILED, "--%s %s: there is no folder %s", option, path, folder);
    return access(folder, W_OK | X_OK) == 0 ||
           err_set(err, ERR_FAILED, "--%s %s: cannot write in the folder %s: %s", option, path,
                   folder, strerror(errno));
}

static bool check_input(const char *option, const char *path, Err *err)
{
    if (!path || access(path, R_OK) == 0) return true;
    return err_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_FAILED, "--%s %s: %s",
                   option, path, strerror(errno));
}

bool eval_check(const EvalOptions *o, Err *err)
{
    return check_output("csv", o->csv, err) && check_output("pairs", o->pairs, err) &&
           check_input("samples", o->samples, err) && check_input("features", o->features, err) &&
           check_input("reference-features", o->reference_features, err) &&
           (o->train_features || check_input("classifier", o->classifier, err));
}
