/*
 * A broker as a whole: what starts, stops and frees one.
 */
#pragma once

#include "broker/state.h"

/*
 * What a machine runs. OPTIONS is copied. After a clean stop (status 0) the broker is freed with
 * broker_free; a process that ended in another way has memory that only its end gives back.
 */
int broker_new(const struct broker_options *options, struct broker **ret_broker);
struct program broker_program(struct broker *broker);
void broker_free(struct broker *broker);
