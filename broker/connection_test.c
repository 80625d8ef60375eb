/*
 * When a connection has got nowhere: what the memory's limit goes by.
 */
#include "broker/connection.h"

#include <criterion/criterion.h>

#define SECOND_NS (1000 * NS_PER_MS)

static struct connection sending_two(struct piece pieces[2])
{
	pieces[0] = (struct piece){.size = 1000};
	pieces[1] = (struct piece){.size = 10000000};
	return (struct connection){.sending = true,
		.send_pieces = pieces,
		.sending_pieces = 2,
		.sending_left = 10001000,
		.progress_ns = 10 * SECOND_NS};
}

Test(connection, is_stuck_when_it_has_got_nowhere_for_so_long)
{
	struct connection idle = {.progress_ns = 10 * SECOND_NS};
	struct piece pieces[2];
	struct connection sending = sending_two(pieces);

	cr_expect(!connection_is_stuck(&idle, 12 * SECOND_NS - 1, 2 * SECOND_NS));
	cr_expect(connection_is_stuck(&idle, 12 * SECOND_NS, 2 * SECOND_NS));
	cr_expect(!connection_is_stuck(&sending, 12 * SECOND_NS - 1, 2 * SECOND_NS));
	cr_expect(connection_is_stuck(&sending, 12 * SECOND_NS, 2 * SECOND_NS));
}

/* A large answer takes a slow client longer than that. */
Test(connection, is_not_stuck_while_an_answer_moves)
{
	struct piece pieces[2];
	struct connection connection = sending_two(pieces);
	uint64_t now_ns = 10 * SECOND_NS;

	pieces[0].size = 0;
	for (int i = 0; i < 10; i++) {
		now_ns += SECOND_NS;
		pieces[1].size -= 500000;
		cr_expect(!connection_is_stuck(&connection, now_ns, 2 * SECOND_NS));
	}
	/* A few bytes are not much. */
	pieces[1].size -= 1000;
	cr_expect(!connection_is_stuck(&connection, now_ns + SECOND_NS, 2 * SECOND_NS));
	pieces[1].size -= 1000;
	cr_expect(connection_is_stuck(&connection, now_ns + 2 * SECOND_NS, 2 * SECOND_NS));
}

/* As the broker's clock begins anywhere. */
Test(connection, is_not_stuck_before_its_time)
{
	struct connection connection = {.progress_ns = 5};

	cr_expect(!connection_is_stuck(&connection, 3, 2));
}
