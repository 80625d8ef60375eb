/* Sockets and listeners, mostly as fibers that wait for one operation after the other. */
#include <errno.h>
#include <stdlib.h>

#include "runtime/contract.h"
#include "runtime/fiber.h"

/* A socket operation that a fiber waits for. */
struct call {
	struct socket_op op;
	struct fiber *fiber;
	bool is_done;
};

static void call_done(struct shard *shard, struct socket_op *op)
{
	struct call *call = container_of(op, struct call, op);

	ensure(!call->is_done);
	call->is_done = true;
	if (call->fiber)
		fiber_wake(shard, call->fiber);
}

static struct call call_begin(struct shard *shard)
{
	return (struct call){.op.done = call_done, .fiber = fiber_current(shard)};
}

static int64_t call_wait(struct shard *shard, struct call *call)
{
	while (!call->is_done)
		fiber_wait(shard);
	return call->op.result;
}

static int64_t receive(struct shard *shard, struct socket *socket, void *buffer, size_t size)
{
	struct call call = call_begin(shard);

	socket_receive(socket, &call.op, buffer, size);
	ensure(!call.is_done);
	return call_wait(shard, &call);
}

static void receive_all(struct shard *shard, struct socket *socket, void *buffer, size_t size)
{
	while (size > 0) {
		int64_t got = receive(shard, socket, buffer, size);

		ensure(got > 0 && (size_t)got <= size);
		buffer = (char *)buffer + got;
		size -= (size_t)got;
	}
}

static int64_t send_pieces(
	struct shard *shard, struct socket *socket, struct piece *pieces, uint32_t count)
{
	struct call call = call_begin(shard);

	socket_send(socket, &call.op, pieces, count);
	ensure(!call.is_done);
	return call_wait(shard, &call);
}

static int64_t send_bytes(struct shard *shard, struct socket *socket, const void *data, size_t size)
{
	struct piece piece = {.data = data, .size = size};

	return send_pieces(shard, socket, &piece, 1);
}

/* Two connected ends on one shard, and the listener they met at. */
struct pair {
	struct listener *listener;
	struct address address;
	struct socket *client, *server;
	struct fiber *fiber;
};

static void pair_accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	struct pair *pair = argument;

	ensure(!pair->server);
	pair->server = socket;
	socket_attach(shard, socket);
	if (pair->fiber)
		fiber_wake(shard, pair->fiber);
}

static void pair_open(struct shard *shard, struct pair *pair, const struct contract *contract)
{
	struct call call = call_begin(shard);
	struct listener_events events = {.accepted = pair_accepted, .argument = pair};

	*pair = (struct pair){.fiber = fiber_current(shard)};
	ensure(listener_open(shard, &contract->address, events, &pair->listener) == 0);
	pair->address = listener_address(pair->listener);
	ensure(pair->address.port != 0);
	ensure(memcmp(pair->address.octets, contract->address.octets, 16) == 0);
	socket_connect(shard, &call.op, &pair->address);
	ensure(call_wait(shard, &call) == 0);
	pair->client = call.op.socket;
	while (!pair->server)
		fiber_wait(shard);
	pair->fiber = NULL;
}

static void pair_close(struct pair *pair)
{
	socket_close(pair->client);
	socket_close(pair->server);
	listener_close(pair->listener);
}

static void echo(struct shard *shard, void *argument)
{
	struct pair pair;
	char ping[100], pong[100];

	pair_open(shard, &pair, argument);
	struct address peer = socket_peer(pair.client);
	ensure(memcmp(&peer, &pair.address, sizeof(peer)) == 0);
	peer = socket_peer(pair.server);
	ensure(memcmp(peer.octets, pair.address.octets, 16) == 0 && peer.port != 0);
	for (unsigned i = 0; i < 200; i++) {
		memset(ping, (int)i, sizeof(ping));
		ensure(send_bytes(shard, pair.client, ping, sizeof(ping)) == 0);
		receive_all(shard, pair.server, pong, sizeof(pong));
		ensure(send_bytes(shard, pair.server, pong, sizeof(pong)) == 0);
		memset(pong, 0xee, sizeof(pong));
		receive_all(shard, pair.client, pong, sizeof(pong));
		ensure(memcmp(ping, pong, sizeof(ping)) == 0);
	}
	/* Nothing to send is sent at once. */
	ensure(send_pieces(shard, pair.client, NULL, 0) == 0);
	ensure(send_bytes(shard, pair.client, "", 0) == 0);
	pair_close(&pair);
	machine_exit(shard, 0);
}

/* Two hundred round trips of a hundred bytes. */
void sockets_echo(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, echo, argument) == 0);
}

/* Connections that are served on another shard than accepted them. */
struct guest {
	struct task task;
	struct socket *socket;
	struct socket_op op;
	struct piece piece;
	char bytes[64];
	struct party *party;
};

struct party {
	struct listener *listener;
	unsigned accepted, left;
	struct fiber *host;
};

enum { GUESTS = 30 };

static void guest_left(struct shard *shard, struct task *task)
{
	struct guest *guest = container_of(task, struct guest, task);
	struct party *party = guest->party;

	free(guest);
	if (++party->left == GUESTS)
		fiber_wake(shard, party->host);
}

static void guest_received(struct shard *shard, struct socket_op *op);

static void guest_sent(struct shard *shard, struct socket_op *op)
{
	struct guest *guest = container_of(op, struct guest, op);

	ensure(op->result == 0);
	op->done = guest_received;
	socket_receive(guest->socket, op, guest->bytes, sizeof(guest->bytes));
}

static void guest_received(struct shard *shard, struct socket_op *op)
{
	struct guest *guest = container_of(op, struct guest, op);

	ensure(op->result >= 0);
	if (op->result == 0) {
		socket_close(guest->socket);
		guest->task.run = guest_left;
		shard_send(shard, 0, &guest->task);
		return;
	}
	guest->piece = (struct piece){.data = guest->bytes, .size = (size_t)op->result};
	op->done = guest_sent;
	socket_send(guest->socket, op, &guest->piece, 1);
}

static void guest_arrives(struct shard *shard, struct task *task)
{
	struct guest *guest = container_of(task, struct guest, task);

	socket_attach(shard, guest->socket);
	guest->op.done = guest_received;
	socket_receive(guest->socket, &guest->op, guest->bytes, sizeof(guest->bytes));
}

static void party_accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	struct party *party = argument;
	struct guest *guest = calloc(1, sizeof(*guest));

	guest->task.run = guest_arrives;
	guest->socket = socket;
	guest->party = party;
	shard_send(shard, ++party->accepted % shard_count(shard), &guest->task);
}

static void party_host(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	struct party party = {.host = fiber_current(shard)};
	struct listener_events events = {.accepted = party_accepted, .argument = &party};
	struct socket *clients[GUESTS];
	char back[64];

	ensure(listener_open(shard, &contract->address, events, &party.listener) == 0);
	struct address address = listener_address(party.listener);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct call call = call_begin(shard);

		socket_connect(shard, &call.op, &address);
		ensure(call_wait(shard, &call) == 0);
		clients[i] = call.op.socket;
		ensure(send_bytes(shard, clients[i], "hello from a guest", 18) == 0);
	}
	for (unsigned i = 0; i < GUESTS; i++) {
		receive_all(shard, clients[i], back, 18);
		ensure(memcmp(back, "hello from a guest", 18) == 0);
		socket_close(clients[i]);
	}
	while (party.left < GUESTS)
		fiber_wait(shard);
	listener_close(party.listener);
	machine_exit(shard, 0);
}

/* Thirty connections are accepted by one shard and served by three. */
void sockets_move_to_another_shard(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, party_host, argument) == 0);
}

enum { SLICE = 2500000, SLICES = 3, SMALL_SLICES = 150, SMALL_SLICE = 997 };

/* Takes all that is sent and compares it with what it should be. */
struct sink {
	struct socket *socket;
	struct fiber *sender;
	char *expected;
	size_t size;
	bool is_done;
};

static void sink_drain(struct shard *shard, void *argument)
{
	struct sink *sink = argument;
	char *bytes = malloc(sink->size);

	receive_all(shard, sink->socket, bytes, sink->size);
	ensure(memcmp(bytes, sink->expected, sink->size) == 0);
	free(bytes);
	sink->is_done = true;
	fiber_wake(shard, sink->sender);
}

static void send_slices(struct shard *shard, void *argument)
{
	char *path = contract_path(argument, "slices"), *content = malloc(SLICES * SLICE);
	size_t size = 5 + SLICE + 7 + 100 + SLICE - 17 + SMALL_SLICES * (SMALL_SLICE + 3);
	struct sink sink = {.sender = fiber_current(shard), .expected = malloc(size), .size = size};
	struct file *file;
	struct pair pair;

	for (unsigned i = 0; i < SLICES * SLICE; i++)
		content[i] = (char)((i >> 16) + i * 7);
	ensure(fiber_open(shard, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file) == 0);
	ensure(fiber_write(shard, file, content, SLICES * SLICE, 0) == 0);
	pair_open(shard, &pair, argument);
	struct piece pieces[7 + 2 * SMALL_SLICES] = {
		{.data = "", .size = 0},
		{.data = "first", .size = 5},
		{.file = file, .offset = 0, .size = SLICE},
		{.data = "second ", .size = 7},
		{.file = file, .offset = 5, .size = 0},
		{.file = file, .offset = SLICE, .size = 100},
		{.file = file, .offset = 2 * SLICE + 17, .size = SLICE - 17},
	};
	char *at = mempcpy(sink.expected, "first", 5);
	at = mempcpy(at, content, SLICE);
	at = mempcpy(at, "second ", 7);
	at = mempcpy(at, content + SLICE, 100);
	at = mempcpy(at, content + 2 * SLICE + 17, SLICE - 17);
	for (unsigned i = 0; i < SMALL_SLICES; i++) {
		pieces[7 + 2 * i] = (struct piece){
			.file = file, .offset = i * SMALL_SLICE, .size = SMALL_SLICE};
		pieces[8 + 2 * i] = (struct piece){.data = "end", .size = 3};
		at = mempcpy(mempcpy(at, content + i * SMALL_SLICE, SMALL_SLICE), "end", 3);
	}
	ensure((size_t)(at - sink.expected) == size);
	sink.socket = pair.server;
	ensure(fiber_start(shard, sink_drain, &sink) == 0);
	ensure(send_pieces(shard, pair.client, pieces, array_length(pieces)) == 0);
	file_unref(file);
	while (!sink.is_done)
		fiber_wait(shard);
	pair_close(&pair);
	free(sink.expected);
	free(content);
	free(path);
	machine_exit(shard, 0);
}

/* Memory and slices of a file, large, small and empty ones, five megabytes in all: they arrive as
 * one stream in their order. */
void sockets_send_slices(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, send_slices, argument) == 0);
}

static void slice_beyond_the_end(struct shard *shard, void *argument)
{
	char *path = contract_path(argument, "short");
	struct file *file;
	struct pair pair;
	char back[10];

	ensure(fiber_open(shard, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file) == 0);
	ensure(fiber_write(shard, file, "ten bytes.", 10, 0) == 0);
	pair_open(shard, &pair, argument);
	struct piece piece = {.file = file, .offset = 4, .size = 7};
	ensure(send_pieces(shard, pair.client, &piece, 1) == -ENODATA);
	receive_all(shard, pair.server, back, 6);
	ensure(memcmp(back, "bytes.", 6) == 0);
	piece = (struct piece){.file = file, .offset = 1000, .size = 1};
	ensure(send_pieces(shard, pair.client, &piece, 1) == -ENODATA);
	file_unref(file);
	pair_close(&pair);
	free(path);
	machine_exit(shard, 0);
}

/* A slice that is longer than its file sends what is there, then -ENODATA. */
void sockets_slice_beyond_the_end(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, slice_beyond_the_end, argument) == 0);
}

static void end_of_stream(struct shard *shard, void *argument)
{
	struct pair pair;
	char back[100];

	pair_open(shard, &pair, argument);
	ensure(send_bytes(shard, pair.client, "last words", 10) == 0);
	socket_close(pair.client);
	pair.client = NULL;
	/* A buffer that is larger than what comes: the end must show itself nevertheless. */
	receive_all(shard, pair.server, back, 10);
	ensure(memcmp(back, "last words", 10) == 0);
	ensure(receive(shard, pair.server, back, sizeof(back)) == 0);
	ensure(receive(shard, pair.server, back, sizeof(back)) == 0);
	pair_close(&pair);
	machine_exit(shard, 0);
}

/* What was sent before the close arrives, then the end, as often as one asks. */
void sockets_end_of_stream(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, end_of_stream, argument) == 0);
}

static void close_cancels(struct shard *shard, void *argument)
{
	struct call receiving = call_begin(shard), sending = call_begin(shard);
	struct pair pair;
	char byte, *much = calloc(1, 64 << 20);
	struct piece piece = {.data = much, .size = 64 << 20};

	pair_open(shard, &pair, argument);
	/* More than fits into any socket buffer, and nothing to receive. */
	socket_receive(pair.client, &receiving.op, &byte, 1);
	socket_send(pair.client, &sending.op, &piece, 1);
	fiber_sleep(shard, 5 * NS_PER_MS);
	ensure(!receiving.is_done && !sending.is_done);
	socket_close(pair.client);
	pair.client = NULL;
	ensure(!receiving.is_done && !sending.is_done);
	ensure(call_wait(shard, &receiving) == -ECANCELED);
	ensure(call_wait(shard, &sending) == -ECANCELED);
	/* Done already, but not told yet: the close comes first. */
	struct call late = call_begin(shard);
	piece = (struct piece){.data = "x", .size = 1};
	socket_send(pair.server, &late.op, &piece, 1);
	socket_close(pair.server);
	pair.server = NULL;
	ensure(call_wait(shard, &late) == -ECANCELED);
	pair_close(&pair);
	free(much);
	machine_exit(shard, 0);
}

/* A close answers both outstanding operations with -ECANCELED, as later steps. */
void sockets_close_cancels(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, close_cancels, argument) == 0);
}

static void peer_that_never_reads(struct shard *shard, void *argument)
{
	struct call stuck = call_begin(shard);
	char *path = contract_path(argument, "much"), *much = calloc(1, 4 << 20), back[10];
	struct piece pieces[16];
	struct file *file;
	struct pair deaf, other;

	ensure(fiber_open(shard, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file) == 0);
	ensure(fiber_write(shard, file, much, 4 << 20, 0) == 0);
	for (unsigned i = 0; i < array_length(pieces); i++)
		pieces[i] = (struct piece){.file = file, .size = 4 << 20};
	pair_open(shard, &deaf, argument);
	pair_open(shard, &other, argument);
	socket_send(deaf.client, &stuck.op, pieces, array_length(pieces));
	/* The other connection does not notice. */
	for (unsigned i = 0; i < 50; i++) {
		struct piece piece = {.file = file, .size = sizeof(back)};

		ensure(send_pieces(shard, other.client, &piece, 1) == 0);
		receive_all(shard, other.server, back, sizeof(back));
	}
	ensure(!stuck.is_done);
	pair_close(&deaf);
	ensure(call_wait(shard, &stuck) == -ECANCELED);
	file_unref(file);
	pair_close(&other);
	free(much);
	free(path);
	machine_exit(shard, 0);
}

/* 64 MB of slices towards a peer that does not read stay where they are; others are served. */
void sockets_peer_that_never_reads(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, peer_that_never_reads, argument) == 0);
}

static void peer_that_is_gone(struct shard *shard, void *argument)
{
	struct pair pair;
	char byte;

	pair_open(shard, &pair, argument);
	/* Closed with something unread: that is a reset. */
	ensure(send_bytes(shard, pair.client, "unread", 6) == 0);
	socket_close(pair.server);
	pair.server = NULL;
	int64_t result;
	do
		result = send_bytes(shard, pair.client, "more", 4);
	while (result == 0);
	ensure(result == -EPIPE || result == -ECONNRESET);
	result = receive(shard, pair.client, &byte, 1);
	ensure(result == 0 || result == -ECONNRESET);
	pair_close(&pair);
	machine_exit(shard, 0);
}

/* Sending to a peer that has closed fails, soon, with an errno; no signal, no crash. */
void sockets_peer_that_is_gone(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, peer_that_is_gone, argument) == 0);
}

static void refused(struct shard *shard, void *argument)
{
	struct call call = call_begin(shard);
	struct pair pair;

	pair_open(shard, &pair, argument);
	struct listener *second;
	struct listener_events events = {.accepted = pair_accepted};
	ensure(listener_open(shard, &pair.address, events, &second) == -EADDRINUSE);
	pair_close(&pair);
	socket_connect(shard, &call.op, &pair.address);
	ensure(call_wait(shard, &call) == -ECONNREFUSED);
	ensure(!call.op.socket);
	machine_exit(shard, 0);
}

/* Nobody listens any more: connecting is refused. A port is taken once. */
void sockets_refused(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, refused, argument) == 0);
}

struct waiting_room {
	struct listener *listener;
	struct socket *accepted[GUESTS];
	unsigned count, limit;
	struct fiber *fiber;
};

static void room_accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	struct waiting_room *room = argument;

	ensure(room->count < room->limit);
	room->accepted[room->count++] = socket;
	socket_attach(shard, socket);
	if (room->count == room->limit)
		listener_pause(listener, true);
	fiber_wake(shard, room->fiber);
}

static void paused(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	struct waiting_room room = {.limit = 2, .fiber = fiber_current(shard)};
	struct listener_events events = {.accepted = room_accepted, .argument = &room};
	struct socket *clients[GUESTS];

	ensure(listener_open(shard, &contract->address, events, &room.listener) == 0);
	struct address address = listener_address(room.listener);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct call call = call_begin(shard);

		socket_connect(shard, &call.op, &address);
		ensure(call_wait(shard, &call) == 0);
		clients[i] = call.op.socket;
	}
	while (room.count < room.limit)
		fiber_wait(shard);
	/* One at a time, and the last ones when it is closed without having gone on. */
	for (unsigned i = 0; i < 3; i++) {
		room.limit++;
		listener_pause(room.listener, false);
		while (room.count < room.limit)
			fiber_wait(shard);
	}
	listener_close(room.listener);
	for (unsigned i = 0; i < room.count; i++)
		socket_close(room.accepted[i]);
	for (unsigned i = 0; i < GUESTS; i++)
		socket_close(clients[i]);
	machine_exit(shard, 0);
}

/* Connections to a paused listener stand, and are accepted when it goes on, no more of them than it
 * wants. */
void sockets_paused(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, paused, argument) == 0);
}

struct resolution {
	struct resolve_op op;
	struct fiber *fiber;
	struct address addresses[4];
	bool is_done;
};

static void resolution_done(struct shard *shard, struct resolve_op *op)
{
	struct resolution *resolution = container_of(op, struct resolution, op);

	resolution->is_done = true;
	fiber_wake(shard, resolution->fiber);
}

static int64_t resolve_name(struct shard *shard, struct resolution *resolution, const char *name)
{
	*resolution =
		(struct resolution){.op.done = resolution_done, .fiber = fiber_current(shard)};
	address_resolve(shard, &resolution->op, name, resolution->addresses, 4);
	ensure(!resolution->is_done);
	while (!resolution->is_done)
		fiber_wait(shard);
	return resolution->op.result;
}

static void resolve(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	struct resolution resolution;
	struct address address;
	char text[ADDRESS_TEXT_SIZE];

	ensure(resolve_name(shard, &resolution, "10.1.2.3") == 1);
	ensure(address_parse("10.1.2.3", &address));
	ensure(memcmp(&address, &resolution.addresses[0], sizeof(address)) == 0);
	ensure(resolve_name(shard, &resolution, NULL) == 1);
	ensure(strcmp(address_format(&resolution.addresses[0], text), "[::]:0") == 0);
	ensure(resolve_name(shard, &resolution, address_format_host(&contract->address, text)) ==
		1);
	ensure(resolve_name(shard, &resolution, "no.such.host.invalid") < 0);
	machine_exit(shard, 0);
}

/* Numbers, "every interface", and a name that does not exist. */
void sockets_resolve(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, resolve, argument) == 0);
}
