/*
 * api_parts.h - what the files of the JSON API share. Others include api.h.
 */
#ifndef ADDER_API_PARTS_H
#define ADDER_API_PARTS_H

#include <jansson.h>

#include "query.h"
#include "survey.h"
#include "wire.h"

/* Each a new reference; NULL: no memory. */
json_t *api_real(double value); /* null where it is no finite number */
json_t *api_distribution(const metrics_distribution *distribution);
json_t *api_verdict(uint64_t verdict); /* wire_verdict: "clean", ... */
json_t *api_reason(uint64_t reason);   /* wire_reason; null: none */
json_t *api_accounts(const survey *survey, size_t limit, double age_ms);
json_t *api_explanation(const query_text *name, const wire_explanation *explanation);

#endif
