/*
 * A topic's settings out of an image, resolved over the broker's configuration.
 */
#pragma once

#include "broker/config/topic_config.h"
#include "broker/metadata/image.h"
#include "storage/log.h"

/* All settings of one resource in the order of their names, in ARENA; -ENOMEM when it is exhausted.
 */
int image_config_entries(const struct image *image, int8_t type, struct str resource,
	struct arena *arena, struct config_entries *ret);
/* TOPIC need not exist: the defaults then. */
void topic_config_of_image(const struct config *config, const struct image *image, struct str topic,
	struct topic_config *ret);
/* What of them the log needs. */
void log_config_from_topic(const struct topic_config *topic, struct log_config *ret);
