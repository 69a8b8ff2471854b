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

double moments_share_error(double share, int64_t n)
{
    double count = (double)n, p = (share * count + 0.5) / (count + 1);
    return n > 0 ? sqrt(p * (1 - p) / (count + 2)) : (double)NAN;
}
