#include "base/moments.h"

#include <math.h>

void moments_add(Moments *m, double value)
{
    double difference = value - m->mean;
    m->mean += difference / (double)++m->count;
    m->squares += difference * (value - m->mean);
}

double moments_variance(const Moments *m)
{
    return m->count > 1 ? m->squares / (double)(m->count - 1) : (double)NAN;
}

double moments_error(const Moments *m)
{
    return sqrt(moments_variance(m) / (double)m->count);
}
