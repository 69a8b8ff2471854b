#include "train/run_folder.h"

#include "train/checkpoint.h"

#include <string.h>

/* What a run writes into its folder. */
static const char *const PARTS[] = {"config.json", "metrics.jsonl", "samples", "checkpoints"};
enum { PART_COUNT = sizeof PARTS / sizeof *PARTS };

/* ---- folders ---- */

bool run_new_folder(char folder[FILE_PATH], const char *stem, Err *err)
{
    if (!file_path(folder, err, "runs/%s", stem)) return false;
    for (int i = 2; file_exists(folder); i++)
        if (!file_path(folder, err, "runs/%s-%d", stem, i)) return false;
    return true;
}

bool run_exists(const char *folder)
{
    char path[FILE_PATH];
    Err ignored;
    for (int i = 0; i < PART_COUNT; i++)
        if (file_path(path, &ignored, "%s/%s", folder, PARTS[i]) && file_exists(path)) return true;
    return false;
}

/* Remove what a run wrote into the folder, and nothing else. */
static bool remove_parts(const char *folder, Err *err)
{
    char path[FILE_PATH];
    bool ok = true;
    for (int i = 0; ok && i < PART_COUNT; i++)
        ok = file_path(path, err, "%s/%s", folder, PARTS[i]) && file_remove(path, err);
    return ok;
}

bool run_last_folder(char folder[FILE_PATH], const char *stem, Err *err)
{
    char next[FILE_PATH];
    bool found = false;
    if (!file_path(next, err, "runs/%s", stem)) return false;
    for (int i = 2; file_exists(next); i++) {
        if (checkpoint_exists(next)) {
            memcpy(folder, next, sizeof next);
            found = true;
        }
        if (!file_path(next, err, "runs/%s-%d", stem, i)) return false;
    }
    return found || err_set(err, ERR_DATA,
                            "--resume: no run runs/%s, -2, ... has a checkpoint; leave --resume "
                            "out, or use --resume=auto, to start afresh",
                            stem);
}

bool run_check_latest(const char *folder, Err *err)
{
    char name[FILE_PATH];
    bool whole;
    if (checkpoint_exists(folder)) return true;
    if (!checkpoint_newest(name, &whole, folder, err)) return false;
    if (!name[0]) return true;
    if (!whole)
        return err_set(err, ERR_DATA,
                       "--resume: %s/checkpoints holds %s, which is no whole checkpoint, and no "
                       "other; copy it again, or start afresh with --overwrite",
                       folder, name);
    return err_set(err, ERR_DATA,
                   "--resume: %s/checkpoints/latest is missing, or names no whole checkpoint; %s "
                   "is one: ln -sfn %s %s/checkpoints/latest, or --overwrite",
                   folder, name, name, folder);
}

bool run_lock(Lock *lock, const char *folder, Err *err)
{
    char path[FILE_PATH];
    if (!file_make_folder(folder, err) || !file_path(path, err, "%s/.lock", folder)) return false;
    if (lock_take(lock, path, err)) return true;
    if (!lock->held) return false;
    return err_prefix(err, "another ddpm trains in %s; wait for it, stop it, or give another --out",
                      folder);
}

/* Whether somebody else has written to the folder since step `saved` was. */
static bool is_of_another(const Lock *lost, const char *folder, uint64_t saved)
{
    char latest[FILE_PATH];
    CheckpointInfo info;
    Err ignored;
    if (!lock_folder_is_same(lost)) return run_exists(folder);
    return checkpoint_exists(folder) &&
           file_path(latest, &ignored, "%s/checkpoints/latest", folder) &&
           (!checkpoint_info(&info, latest, &ignored) || info.step != saved);
}

bool run_keep_lock(Lock *lock, const char *folder, uint64_t saved, Err *err)
{
    Lock again;
    if (lock_is_held(lock)) return true;
    if (!file_make_folder(folder, err)) return false;
    if (!lock_take(&again, lock->path, err))
        return again.held ? err_prefix(err, "another ddpm trains in %s now", folder) : false;
    if (is_of_another(lock, folder, saved)) {
        lock_release(&again);
        return err_set(err, ERR_FAILED, "another ddpm has trained in %s meanwhile", folder);
    }
    lock_release(lock);
    *lock = again;
    return true;
}

/* ---- a run that is replaced ---- */

/* Its parts wait in a folder of their own until the new run has a checkpoint. */
#define ASIDE ".replaced"

/* Move the parts that are in `from` to `to`. */
static bool move_parts(const char *from, const char *to, Err *err)
{
    bool ok = true;
    for (int i = 0; ok && i < PART_COUNT; i++) {
        char old[FILE_PATH], new[FILE_PATH];
        ok = file_path(old, err, "%s/%s", from, PARTS[i]) &&
             file_path(new, err, "%s/%s", to, PARTS[i]);
        if (ok && file_exists(old)) ok = file_rename(old, new, err);
    }
    return ok;
}

static bool has_checkpoints(bool *has, const char *folder, Err *err)
{
    char name[FILE_PATH];
    bool whole;
    if (!checkpoint_newest(name, &whole, folder, err)) return false;
    *has = name[0] != 0;
    return true;
}

/* What the folder has got in the meantime is newer. */
bool run_mend(const char *folder, Err *err)
{
    char aside[FILE_PATH], path[FILE_PATH];
    bool waits, has;
    if (!file_path(aside, err, "%s/" ASIDE, folder)) return false;
    if (!file_exists(aside)) return true;
    if (!has_checkpoints(&waits, aside, err) || !has_checkpoints(&has, folder, err)) return false;
    if (waits || !has) return true;
    bool ok = true;
    for (int i = 0; ok && i < PART_COUNT; i++) {
        ok = file_path(path, err, "%s/%s", folder, PARTS[i]);
        if (ok && file_exists(path))
            ok = file_path(path, err, "%s/%s", aside, PARTS[i]) && file_remove(path, err);
    }
    return ok && move_parts(aside, folder, err) && file_remove(aside, err);
}

bool run_set_aside(const char *folder, Err *err)
{
    char aside[FILE_PATH];
    bool newer;
    if (!file_path(aside, err, "%s/" ASIDE, folder) || !has_checkpoints(&newer, folder, err))
        return false;
    /* Without checkpoints, it replaced the one that waits, and was killed before it had any. */
    if (file_exists(aside) && !newer) return remove_parts(folder, err);
    return file_remove(aside, err) && file_make_folder(aside, err) &&
           move_parts(folder, aside, err);
}

bool run_forget_replaced(const char *folder, Err *err)
{
    char aside[FILE_PATH];
    return file_path(aside, err, "%s/" ASIDE, folder) && file_remove(aside, err);
}

/* What fails here is beyond help. */
void run_restore(const char *folder)
{
    char aside[FILE_PATH];
    Err ignored;
    if (remove_parts(folder, &ignored) && file_path(aside, &ignored, "%s/" ASIDE, folder) &&
        file_exists(aside) && move_parts(aside, folder, &ignored))
        file_remove(aside, &ignored);
}
