/*
 * A folder of IDX files: the images, then, after a line "==", the labels; each perhaps gzip.
 */
#include "fuzz/fuzz.h"

#include "data/idx.h"

static void read_set(const char *folder, bool labels)
{
    Dataset set;
    Err err;
    if (!idx_read(&set, folder, DATASET_TRAIN, labels, &err)) {
        fuzz_refused(&err);
        fuzz_require(!set.pixels && !set.labels, "a set that was refused is empty");
        return;
    }
    size_t image = (size_t)set.height * (size_t)set.width;
    fuzz_require(set.channels == 1 && !set.labels == !labels, "images are grey");
    fuzz_touch(set.pixels, (size_t)set.count * image);
    fuzz_touch(dataset_image(&set, set.count - 1), image);
    for (int i = 0; labels && i < set.count; i++)
        fuzz_require(set.labels[i] >= 0 && set.labels[i] < set.classes, "labels are of classes");
    dataset_release(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzPart parts[2] = {{0}};
    fuzz_split(parts, 2, size > 0 ? data : (const uint8_t *)"", size);
    fuzz_put("train-images-idx3-ubyte", parts[0]);
    fuzz_put("train-labels-idx1-ubyte", parts[1]);
    read_set(fuzz_path(NULL), false);
    if (parts[1].data) read_set(fuzz_path(NULL), true);
    return 0;
}
