/*
 * direction.h - where each class lies as seen from the middle: m_c - g, with g the plain mean of
 * the class means, for the alignment of rows (score.h).
 */
#ifndef ADDER_DIRECTION_H
#define ADDER_DIRECTION_H

#include <stdbool.h>

#include "engine.h"

typedef struct {
    float *vector;  /* [classes, dim] m_c - g, rounded */
    double *square; /* [classes] the squared length of what was rounded */
} directions;

/* false: no memory */
bool directions_open(directions *directions, const engine_reference *reference);
void directions_close(directions *directions); /* zeroed is allowed */

#endif
