/*
 * Precision and recall of samples (Kynkaanniemi et al. 2019, Improved precision and recall metric
 * for assessing generative models, section 2), k = 3: a feature is taken to be of a set's kind if
 * it is no farther from one of its members than that one's k-th nearest other member (equation 1).
 * Precision is the share of the samples that are of the reference's kind: how many are good. Recall
 * is the share of the reference that is of the samples' kind: how much of it they cover
 * (equation 2).
 */
#ifndef DDPM_EVAL_PRECISION_RECALL_H
#define DDPM_EVAL_PRECISION_RECALL_H

#include "eval/features.h"

enum { PRECISION_NEIGHBOURS = 3 };

/* The errors are those of a share of so many images (base/moments.h), the other set being what it
 * is. */
typedef struct {
    double precision, precision_error; /* over samples */
    double recall, recall_error;       /* over the reference */
} PrecisionRecall;

/*
 * The dimensions are the same (an assert). Distances are in double, and exact where the features
 * are small whole numbers. Memory: blocks of a fixed number of rows. Threads do not matter to the
 * bits. Both figures depend on the numbers of rows: compare at the same ones.
 *
 * `progress` (NULL: none) is told how many rows of 2 (samples + reference) are done; false stops,
 * and then there is no result: *stopped. Errors: ERR_DATA (a set of fewer than 4 rows), ERR_FAILED
 * (memory).
 */
bool precision_recall(PrecisionRecall *out, bool *stopped, const Features *samples,
                      const Features *reference, bool (*progress)(void *context, long done),
                      void *context, Err *err);

#endif
