/*
 * CIFAR-10. An input of one part is one file. Of more, cut at lines "==", each behind the first is
 * a file data_batch_N.bin of a folder, made of its bytes: a record for each, which is its label.
 */
#include "fuzz/fuzz.h"

#include "data/cifar10.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCHES = 3, MOST_RECORDS = 64, PLANE = CIFAR10_SIDE * CIFAR10_SIDE };

/* The image is the record's planes, pixel by pixel. */
static void same_image(const Dataset *set, int index, const uint8_t *record)
{
    const uint8_t *pixels = dataset_image(set, index);
    fuzz_require(set->labels[index] == record[0], "a label is its record's");
    for (int i = 0; i < PLANE; i++)
        for (int c = 0; c < CIFAR10_CHANNELS; c++)
            fuzz_require(pixels[CIFAR10_CHANNELS * i + c] == record[1 + PLANE * c + i],
                         "a pixel is its record's");
}

/* `records` [count] is what there was to be read. */
static void read_set(const char *path, const uint8_t *records, size_t count)
{
    Dataset set;
    Err err;
    if (!cifar10_read(&set, path, DATASET_TRAIN, &err)) {
        fuzz_refused(&err);
        fuzz_require(!set.pixels && !set.labels, "a set that was refused is empty");
        return;
    }
    fuzz_require((size_t)set.count == count, "as many images as records");
    for (int i = 0; i < set.count; i++) {
        fuzz_require(set.labels[i] < set.classes, "labels are of classes");
        same_image(&set, i, records + (size_t)i * CIFAR10_RECORD);
    }
    dataset_release(&set);
}

static size_t make_records(uint8_t *records, FuzzPart labels)
{
    size_t count = labels.size < MOST_RECORDS ? labels.size : MOST_RECORDS;
    for (size_t i = 0; i < count; i++, records += CIFAR10_RECORD) {
        records[0] = labels.data[i];
        for (size_t k = 1; k < CIFAR10_RECORD; k++) records[k] = (uint8_t)(k * (i + 1) + k / 256);
    }
    return count;
}

static void read_folder(const FuzzPart *batches, int count)
{
    uint8_t *records = malloc((size_t)BATCHES * MOST_RECORDS * CIFAR10_RECORD);
    size_t made = 0;
    for (int i = 0; i < BATCHES; i++) {
        char name[32];
        uint8_t *from = records + made * CIFAR10_RECORD;
        size_t more = i < count ? make_records(from, batches[i]) : 0;
        snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        fuzz_put(name, (FuzzPart){i < count ? from : NULL, more * CIFAR10_RECORD});
        made += more;
    }
    read_set(fuzz_path(NULL), records, made);
    free(records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzPart parts[1 + BATCHES];
    int count = fuzz_split(parts, 1 + BATCHES, data, size);
    if (count > 1)
        read_folder(parts + 1, count - 1);
    else
        read_set(fuzz_file(data, size), data, size / CIFAR10_RECORD);
    return 0;
}
