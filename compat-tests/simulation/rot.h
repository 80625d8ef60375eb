/* Bits that rot in closed segments, where nothing is read again but by consumers. */
#pragma once

#include "model.h"
#include "runtime/simulated/choose.h"

/* Flips a bit of a closed segment of the main topic that recovery will not read: behind it, to the
 * segment's end, nothing is judged any more. How many: 0 when there is no such segment now. */
unsigned rot_do(struct host *node, struct model *model, struct chooser *chooser);
