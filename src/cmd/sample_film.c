#include "cmd/sample_film.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asked for ---- */

static bool check_strips(const SampleOptions *o, const SampleOutput *output, Err *err)
{
    if (output->kind != OUTPUT_GRID)
        return err_set(err, ERR_USAGE,
                       "--show-steps %d draws a grid, and --output is %s; name a .png",
                       o->show_steps, output->path);
    if (o->columns == 0) return true;
    return err_set(err, ERR_USAGE,
                   "--columns %d, but --show-steps %d says how many columns there are; leave one "
                   "out",
                   o->columns, o->show_steps);
}

static bool check_frames(const SampleOptions *o, const SampleOutput *output, Err *err)
{
    if (output->kind == OUTPUT_FOLDER)
        return err_set(err, ERR_USAGE,
                       "--trajectory %s: the folder --output %s would go on where it is, and the "
                       "frames cannot; name a .png, .npy or .npz",
                       o->trajectory, output->path);
    if (o->batch > 0 && o->batch < output->count)
        return err_set(err, ERR_USAGE,
                       "--trajectory %s: a frame shows all %d images, which so are drawn at once, "
                       "not by --batch %d; leave that out, or draw fewer",
                       o->trajectory, output->count, o->batch);
    if (!file_exists(o->trajectory) || file_is_folder(o->trajectory)) return true;
    return err_set(err, ERR_USAGE, "--trajectory %s is a file; name a folder for the frames",
                   o->trajectory);
}

bool sample_film_check(const SampleOptions *o, const SampleOutput *output, EditKind edit, Err *err)
{
    const char *name = o->show_steps > 0 ? "show-steps" : "trajectory";
    if (o->show_steps == 0 && !o->trajectory) return true;
    if (edit == EDIT_INPAINT || edit == EDIT_ENCODE)
        return err_set(err, ERR_USAGE,
                       "--%s shows a walk that goes down once, which --%s does not; leave one out",
                       name, edit == EDIT_INPAINT ? "inpaint" : "encode");
    return (o->show_steps == 0 || check_strips(o, output, err)) &&
           (!o->trajectory || check_frames(o, output, err));
}

/* ---- frames ---- */

static void frame_name(char name[32], int step)
{
    snprintf(name, 32, "%06d.png", step);
}

static bool is_frame(const char *name)
{
    char expected[32];
    frame_name(expected, (int)strtol(name, NULL, 10));
    return strcmp(name, expected) == 0;
}

/* Those of a longer walk would be left among the new. */
static bool open_folder(const char *folder, Err *err)
{
    FileList list;
    bool ok = true;
    if (!file_make_folder(folder, err) || !file_list(&list, folder, err)) return false;
    for (size_t i = 0; ok && i < list.count; i++)
        if (is_frame(list.names[i]))
            ok = err_set(err, ERR_USAGE,
                         "--trajectory %s: the folder holds frames already, such as %s; name "
                         "another, or remove them",
                         folder, list.names[i]);
    file_list_release(&list);
    return ok;
}

static bool write_frame(const SampleFilm *f, const float *images, int step, int t, Err *err)
{
    const SampleOutput *o = f->output;
    char path[FILE_PATH], name[32];
    PngText texts[PROVENANCE_MAX];
    Provenance how = *o->how;
    frame_name(name, step);
    provenance_add_range(&how, o->classes, o->first, o->count);
    provenance_add(&how, "Timestep", "%d", t);
    GridDims dims = {o->count, o->height, o->width, o->channels, o->columns};
    return file_path(path, err, "%s/%s", f->folder, name) &&
           grid_write(path, images, dims, texts, provenance_texts(texts, &how), err);
}

/* ---- strips ---- */

/* The step that column `j` shows: evenly from the first, x_T, to the last, which ends in x_0. */
static int step_of(const SampleFilm *f, int j)
{
    int64_t last = f->steps - 1, gaps = f->moments - 1;
    return gaps == 0 ? (int)last : (int)((2 * j * last + gaps) / (2 * gaps));
}

static GridDims strip_dims(const SampleFilm *f)
{
    const SampleOutput *o = f->output;
    int cells = o->count < INT32_MAX / 2 / f->moments ? 2 * f->moments * o->count : INT32_MAX;
    return (GridDims){cells, o->height, o->width, o->channels, f->moments};
}

static bool open_strips(SampleFilm *f, Err *err)
{
    Image grid = {0};
    if (f->moments > f->steps)
        return err_set(err, ERR_USAGE, "--show-steps %d, but only %d steps are walked", f->moments,
                       f->steps);
    bool fits = grid_new(&grid, strip_dims(f), err);
    image_release(&grid);
    if (!fits) return err_prefix(err, "--show-steps %d", f->moments);
    size_t floats = (size_t)strip_dims(f).count * sample_output_floats(f->output);
    f->strips = memory_new(floats, sizeof *f->strips, "the strips", err);
    f->timesteps = memory_new((size_t)f->moments, sizeof *f->timesteps, "the strips", err);
    return f->strips && f->timesteps;
}

static void keep(SampleFilm *f, const GeneratorView *view, int column)
{
    size_t size = sample_output_floats(f->output), K = (size_t)f->moments;
    f->timesteps[column] = view->t;
    for (size_t i = 0; i < (size_t)view->n; i++) {
        float *strip = f->strips + ((size_t)f->at + i) * 2 * K * size;
        memcpy(strip + (size_t)column * size, view->x_t + i * size, size * sizeof *strip);
        memcpy(strip + (K + (size_t)column) * size, view->x_0 + i * size, size * sizeof *strip);
    }
}

/* ---- the film ---- */

static void see(void *context, const GeneratorView *view)
{
    SampleFilm *f = context;
    for (int j = 0; j < f->moments; j++)
        if (step_of(f, j) == view->step) keep(f, view, j);
    if (f->folder && !f->failed)
        f->failed = !write_frame(f, view->x_t, view->step, view->t, &f->err);
}

bool sample_film_open(SampleFilm *f, const SampleOptions *options, const SampleOutput *output,
                      Generator *generator, Err *err)
{
    *f = (SampleFilm){.output = output,
                      .folder = options->trajectory,
                      .moments = options->show_steps,
                      .steps = generator_steps(generator)};
    if (f->moments == 0 && !f->folder) return true;
    size_t floats = (size_t)generator->batch * generator->size;
    f->x_t = memory_new(floats, sizeof *f->x_t, "a step that is shown", err);
    f->x_0 = memory_new(floats, sizeof *f->x_0, "a step that is shown", err);
    generator->watch = (GeneratorWatch){see, f, f->x_t, f->x_0};
    return f->x_t && f->x_0 && (f->moments == 0 || open_strips(f, err)) &&
           (!f->folder || open_folder(f->folder, err));
}

void sample_film_batch(SampleFilm *f, int at)
{
    f->at = at;
}

bool sample_film_end(SampleFilm *f, const float *images, Err *err)
{
    if (f->failed) *err = f->err;
    return !f->failed && (!f->folder || write_frame(f, images, f->steps, 0, err));
}

bool sample_film_write_strips(SampleFilm *f, Err *err)
{
    const SampleOutput *o = f->output;
    PngText texts[PROVENANCE_MAX];
    Provenance how = *o->how;
    char list[PROVENANCE_VALUE] = "";
    size_t used = 0;
    for (int j = 0; j < f->moments && used < sizeof list; j++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%d", j > 0 ? "," : "",
                                 f->timesteps[j]);
    provenance_add_range(&how, o->classes, o->first, o->count);
    provenance_add(&how, "Timesteps", "%s", list);
    return grid_write(o->path, f->strips, strip_dims(f), texts, provenance_texts(texts, &how), err);
}

void sample_film_release(SampleFilm *f)
{
    free(f->x_t);
    free(f->x_0);
    free(f->strips);
    free(f->timesteps);
    *f = (SampleFilm){0};
}
