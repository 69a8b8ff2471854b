/*
 * Names are short, so the distance is the plain dynamic program on three rows of fixed length.
 */
#include "base/nearest.h"

#include "base/whole.h"

#include <string.h>

enum { LIMIT = 64 };

int nearest_distance(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size >= LIMIT || b_size >= LIMIT) return LIMIT;
    int rows[3][LIMIT + 1] = {0}; /* rows[i % 3][j]: from the first i bytes of a to j of b */
    for (size_t j = 0; j <= b_size; j++) rows[0][j] = (int)j;
    for (size_t i = 1; i <= a_size; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i + 2) % 3], *swap = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = whole_min(above[j], row[j - 1]) + 1;
            row[j] = whole_min(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = whole_min(row[j], swap[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

void nearest_try(Nearest *best, const char *wrong, const char *candidate)
{
    size_t size = strlen(wrong);
    int distance = nearest_distance(wrong, candidate);
    if (size >= 3 && strncmp(wrong, candidate, size) == 0) distance = whole_min(distance, 1);
    if (distance > 1 + (int)size / 4 || distance >= LIMIT) return;
    if (best->name && best->distance <= distance) return;
    *best = (Nearest){candidate, distance};
}
