/*
 * The name a user probably meant: for keys, options and commands that do not exist.
 */
#ifndef DDPM_BASE_NEAREST_H
#define DDPM_BASE_NEAREST_H

/* Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal
 * string alignment). Names of 64 bytes and more are 64 from everything. */
int nearest_distance(const char *a, const char *b);

/* The best candidate so far. Starts as {0}; `name` stays NULL while none is near. */
typedef struct {
    const char *name;
    int distance;
} Nearest;

/* Keep `candidate` if it is nearer to `wrong` than what there is, and near enough to be a slip:
 * at most one edit, and one more for each four bytes of `wrong`; a name of which `wrong` is the
 * beginning, three bytes or more, counts as one edit away. Ties go to the first. */
void nearest_try(Nearest *best, const char *wrong, const char *candidate);

#endif
