/*
 * Where samples go, by the ending of the name: one grid as .png, uint8 [N,H,W,C] as .npy or .npz
 * (the key arr_0; where they are of classes arr_1 too, their int64 labels [N]), float32 [N,C,H,W]
 * as .npy, or a folder with a PNG for each image.
 */
#ifndef DDPM_CMD_SAMPLE_OUTPUT_H
#define DDPM_CMD_SAMPLE_OUTPUT_H

#include "train/provenance.h"

#include <stddef.h>

typedef enum { OUTPUT_GRID, OUTPUT_NPY, OUTPUT_NPZ, OUTPUT_FLOATS, OUTPUT_FOLDER } OutputKind;

/* The kind that the name asks for; ERR_USAGE where --float cannot be met. */
bool sample_output_kind(OutputKind *kind, const char *path, bool as_float, Err *err);

typedef struct {
    const char *path;
    OutputKind kind;
    uint32_t first;                     /* the first image's index in the run of its seed */
    int count, height, width, channels; /* of all images */
    const Conditioning *classes;        /* of the images */
    int columns;                        /* of a grid; 0: about as many as rows */
    const Provenance *how;              /* texts of every PNG; not read by sample_output_check */
} SampleOutput;

/* Floats of an image. */
size_t sample_output_floats(const SampleOutput *output);

/* Whether it can be written there, before any work is done: the folder above exists, a grid is not
 * too large. What a folder holds already is sample_folder_open's to judge. */
bool sample_output_check(const SampleOutput *output, Err *err);

/* images [count,height,width,channels], in [-1, 1]. Not for folders: cmd/sample_folder.h. */
bool sample_output_write(const SampleOutput *output, const float *images, Err *err);

#endif
