#include "cmd/sample_edit_check.h"

#include "data/config.h"
#include "diffusion/config.h"

#include <string.h>
#include <strings.h>

/* The options of which at most one says what is made of which image. */
static const char *const modes[] = {"init", "inpaint", "encode", "interpolate"};

enum { INIT, INPAINT, ENCODE, INTERPOLATE, MODES };

static const char *image_of(const SampleOptions *o, int mode)
{
    const char *const images[MODES] = {o->init, o->inpaint, o->encode, o->interpolate[0]};
    return images[mode];
}

static bool check_one(const SampleOptions *o, Err *err)
{
    int found = -1;
    for (int mode = 0; mode < MODES; mode++) {
        if (!image_of(o, mode)) continue;
        if (found >= 0)
            return err_set(err, ERR_USAGE, "--%s and --%s do not go together; choose one",
                           modes[found], modes[mode]);
        found = mode;
    }
    return true;
}

/* `option` stands without any of the options that it says more about. */
static bool lacks(const char *option, const char *wanted, Err *err)
{
    return err_set(err, ERR_USAGE, "--%s is for %s, which is not there", option, wanted);
}

static bool check_details(const SampleOptions *o, Err *err)
{
    bool interpolate = o->interpolate[0] != NULL;
    if (o->strength >= 0.0 && !o->init && !interpolate)
        return lacks("strength", "--init IMAGE or --interpolate A B", err);
    if (o->mask && !o->inpaint) return lacks("mask", "--inpaint IMAGE", err);
    if (o->jump_length > 0 && !o->inpaint) return lacks("jump-length", "--inpaint IMAGE", err);
    if (o->resample > 0 && !o->inpaint) return lacks("resample", "--inpaint IMAGE", err);
    if (o->by >= 0 && !interpolate) return lacks("by", "--interpolate A B", err);
    if (o->refine > 0 && !o->encode && o->by != BY_INVERSION)
        return lacks("refine", "--encode IMAGE or --interpolate A B --by inversion", err);
    if (o->fit >= 0 && !o->init && !o->inpaint && !o->encode && !interpolate)
        return lacks("fit", "an image of --init, --inpaint, --encode or --interpolate", err);
    if (o->strength == 0.0)
        return err_set(err, ERR_USAGE,
                       "--strength 0 would walk no step and give the image back; choose above 0, "
                       "at most 1");
    return true;
}

static bool check_inpaint(const SampleOptions *o, Err *err)
{
    if (!o->inpaint) return true;
    if (!o->mask)
        return err_set(err, ERR_USAGE,
                       "--inpaint %s needs --mask IMAGE, white where it is to be filled in",
                       o->inpaint);
    if (o->sampler >= 0 && o->sampler != SAMPLER_DDPM && o->sampler != SAMPLER_DDIM)
        return err_set(err, ERR_USAGE,
                       "--inpaint changes x_t between the steps, which %s is not made for; choose "
                       "ddpm or ddim",
                       sampler_names[o->sampler]);
    return true;
}

/* Only ddim without noise has one way down from each x_t, whose steps can be undone. */
static bool check_inversion(const SampleOptions *o, Err *err)
{
    const char *what = o->encode ? "--encode" : "--by inversion";
    if (!o->encode && o->by != BY_INVERSION) return true;
    if (o->sampler >= 0 && o->sampler != SAMPLER_DDIM)
        return err_set(err, ERR_USAGE, "%s undoes the steps of ddim, and --sampler is %s", what,
                       sampler_names[o->sampler]);
    if (o->eta > 0.0)
        return err_set(err, ERR_USAGE,
                       "%s undoes steps without noise, and --eta is %g; leave it out", what,
                       o->eta);
    return true;
}

static bool check_encode(const SampleOptions *o, Err *err)
{
    if (!o->encode) return true;
    const char *ending = strrchr(o->output, '.');
    if (!ending || strcasecmp(ending, ".npy") != 0)
        return err_set(err, ERR_USAGE,
                       "--encode writes numbers, not an image: name a .npy file, such as -o "
                       "x_T.npy, not %s",
                       o->output);
    if (o->count > 1)
        return err_set(err, ERR_USAGE, "--encode %s is one image, and --count is %d", o->encode,
                       o->count);
    if (o->first > 0 || o->seed >= 0)
        return err_set(err, ERR_USAGE, "--encode %s is of no seed; leave --%s out", o->encode,
                       o->first > 0 ? "first" : "seed");
    return true;
}

static bool check_interpolate(const SampleOptions *o, Err *err)
{
    if (!o->interpolate[0]) return true;
    if (o->count == 1)
        return err_set(err, ERR_USAGE,
                       "--interpolate has both ends among its images: --count must be at least 2");
    if (o->first > 0)
        return err_set(err, ERR_USAGE,
                       "--interpolate goes from the first image to the last; leave --first out");
    return true;
}

static bool check_noise(const SampleOptions *o, Err *err)
{
    for (int mode = 0; o->noise && mode < MODES; mode++)
        if (mode != INPAINT && image_of(o, mode))
            return err_set(err, ERR_USAGE,
                           "--%s begins at an image, and --noise %s says to begin there; leave one "
                           "out",
                           modes[mode], o->noise);
    return true;
}

bool sample_edit_check(const SampleOptions *o, Err *err)
{
    return check_one(o, err) && check_details(o, err) && check_inpaint(o, err) &&
           check_inversion(o, err) && check_encode(o, err) && check_interpolate(o, err) &&
           check_noise(o, err);
}
