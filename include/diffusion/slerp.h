/*
 * Between two images with noise.
 */
#ifndef DDPM_DIFFUSION_SLERP_H
#define DDPM_DIFFUSION_SLERP_H

#include <stddef.h>

/* The spherical mix (Shoemake 1985, section 3.3) of a and b, [size], at `part` from 0 (a) to 1 (b):
 *     out = sin((1 - part) theta) / sin(theta) a + sin(part theta) / sin(theta) b
 * theta being the angle between them: the straight mix would lose length, and what has noise of the
 * right strength at its ends would have too little between. The ends are a and b to the bit. Where
 * they have (almost) the same direction, or opposite ones, it is the straight mix. `out` may alias
 * either. */
void slerp(float *out, const float *a, const float *b, double part, size_t size);

#endif
