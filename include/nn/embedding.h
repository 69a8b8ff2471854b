/*
 * Embeddings of the time step and of the class.
 */
#ifndef DDPM_NN_EMBEDDING_H
#define DDPM_NN_EMBEDDING_H

#include <stdbool.h>
#include <stdint.h>

/* y[i] = [sin(t_i f) | cos(t_i f)], f_k = 10000^(-k / (half - freq_shift)), k = 0 .. half-1,
 * half = dim / 2; [cos | sin] with `flip`. t is the 0-based step. Ho et al. 2020, appendix B, after
 * Vaswani et al. 2017, section 3.5. y [n,dim]; dim even. */
void timestep_embedding(float *y, const float *t, int n, int dim, double freq_shift, bool flip);

/* y[i] += table[label[i]]; table [classes,dim], y [n,dim], labels in [0, classes). */
void class_embedding_forward(float *y, const float *table, const int32_t *labels, int n, int dim);
/* dtable[label[i]] += dy[i], in the order of i. */
void class_embedding_backward(float *dtable, const float *dy, const int32_t *labels, int n,
                              int dim);

#endif
