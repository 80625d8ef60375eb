/*
 * The librdkafka client under test: takes commands on standard input and answers each with one line. README.md
 * describes the commands and the records that every client writes alike.
 */
#include "client.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RECORD_SIZE_MAX = 120000, LARGE_SIZE_MAX = 20000000, LINE_SIZE_MAX = 1 << 20, SOURCES_MAX = 512 };

const char *bootstrap;
char failure[512];
static char buffer[RECORD_SIZE_MAX];

/* A topic as some client wrote it, and the next record due from it. */
struct source {
	const char *topic;
	long long base;
	int headers;
	int next;
};

int fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(failure, sizeof failure, format, arguments);
	va_end(arguments);
	return -1;
}

static int record_key(int i, char *out)
{
	return i % 6 == 5 && i % 10 != 9 ? -1 : sprintf(out, "key-%d", i);
}

static void text(int i, char *out, int size)
{
	for (int j = 0; j < size; j++)
		out[j] = 'a' + (i * 31LL + j * 7LL) % 26;
}

static int record_value(int i, char *out)
{
	static const int sizes[] = { 0, 1, 1024, 100 };
	int size = i == 38 ? RECORD_SIZE_MAX : sizes[i % 4];

	if (i % 10 == 9)
		return -1;
	text(i, out, size);
	return size;
}

rd_kafka_t *client_new(rd_kafka_type_t type, const char *const *settings)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;

	rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, failure, sizeof failure);
	rd_kafka_conf_set(conf, "log_level", "2", failure, sizeof failure);
	for (; *settings; settings += 2) {
		if (rd_kafka_conf_set(conf, settings[0], settings[1], failure, sizeof failure)) {
			rd_kafka_conf_destroy(conf);
			return NULL;
		}
	}
	rk = rd_kafka_new(type, conf, failure, sizeof failure);
	if (!rk)
		rd_kafka_conf_destroy(conf);
	return rk;
}

static int delivered, misplaced;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk;
	(void)opaque;
	if (m->err) {
		misplaced = fail("%s", rd_kafka_err2str(m->err));
	} else if (m->offset != delivered) {
		misplaced = fail("record %d got offset %lld", delivered, (long long)m->offset);
	}
	delivered++;
}

int produce(const char *topic, const char *codec, int count, long long base, int headers, int idempotent)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	char key[32], header[32];

	delivered = misplaced = 0;
	rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
	rd_kafka_conf_set(conf, "linger.ms", "20", NULL, 0);
	rd_kafka_conf_set(conf, "acks", "all", NULL, 0);
	rd_kafka_conf_set(conf, "enable.idempotence", idempotent ? "true" : "false", NULL, 0);
	rd_kafka_conf_set(conf, "message.timeout.ms", "120000", NULL, 0);
	rd_kafka_conf_set(conf, "message.max.bytes", "1048576", NULL, 0);
	if (rd_kafka_conf_set(conf, "compression.codec", codec, failure, sizeof failure)) {
		rd_kafka_conf_destroy(conf);
		return -1;
	}
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, failure, sizeof failure);
	if (!rk)
		return -1;
	for (int i = 0; i < count; i++) {
		int key_size = record_key(i, key), size = record_value(i, buffer);
		char *key_at = key_size < 0 ? NULL : key, *value_at = size < 0 ? NULL : buffer;
		size_t key_length = key_size < 0 ? 0 : key_size, value_length = size < 0 ? 0 : size;
		rd_kafka_headers_t *h = rd_kafka_headers_new(2);

		if (headers && i % 3 == 0) {
			sprintf(header, "v-%d", i);
			rd_kafka_header_add(h, "h1", -1, header, -1);
			rd_kafka_header_add(h, "h2", -1, "", 0);
		}
		rd_kafka_resp_err_t err = rd_kafka_producev(
			rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
			RD_KAFKA_V_KEY(key_at, key_length), RD_KAFKA_V_VALUE(value_at, value_length),
			RD_KAFKA_V_TIMESTAMP(base ? base + i * 1000LL : 0), RD_KAFKA_V_HEADERS(h), RD_KAFKA_V_END);

		if (err) {
			rd_kafka_headers_destroy(h);
			misplaced = fail("%s", rd_kafka_err2str(err));
			break;
		}
	}
	if (rd_kafka_flush(rk, WAIT_S * 1000))
		misplaced = fail("%d of %d records delivered", delivered, count);
	rd_kafka_destroy(rk);
	return misplaced;
}

static int message_check(const rd_kafka_message_t *m, int i, long long base, int headers)
{
	char key[32];
	int key_size = record_key(i, key), size = record_value(i, buffer);
	rd_kafka_timestamp_type_t type;
	rd_kafka_headers_t *h = NULL;

	if (m->offset != i)
		return fail("offset %lld where %d was due", (long long)m->offset, i);
	if ((m->key == NULL) != (key_size < 0) || (key_size > 0 && (m->key_len != (size_t)key_size || memcmp(m->key, key, key_size))))
		return fail("key of %d differs", i);
	if ((m->payload == NULL) != (size < 0) || (size >= 0 && (m->len != (size_t)size || memcmp(m->payload, buffer, size))))
		return fail("value of %d differs: %zu bytes", i, m->len);
	if (base && rd_kafka_message_timestamp(m, &type) != base + i * 1000LL)
		return fail("timestamp of %d is %lld", i, (long long)rd_kafka_message_timestamp(m, &type));
	rd_kafka_message_headers(m, &h);
	if ((h ? rd_kafka_header_cnt(h) : 0) != (headers && i % 3 == 0 ? 2 : 0))
		return fail("record %d has %zu headers", i, h ? rd_kafka_header_cnt(h) : 0);
	if (h && headers && i % 3 == 0) {
		const void *value;
		size_t value_size;

		sprintf(key, "v-%d", i);
		if (rd_kafka_header_get_last(h, "h1", &value, &value_size) || value_size != strlen(key) ||
		    memcmp(value, key, value_size) || rd_kafka_header_get_last(h, "h2", &value, &value_size) || value_size)
			return fail("headers of %d differ", i);
	}
	return 0;
}

/* Until each source has given its records up to `to`. */
static int consume(rd_kafka_t *rk, struct source *sources, int count, int to)
{
	time_t deadline = time(NULL) + WAIT_S;
	int missing = 0;

	for (int i = 0; i < count; i++)
		missing += to - sources[i].next;
	while (missing > 0) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);
		int status = 0;

		if (m && !m->err) {
			const char *topic = rd_kafka_topic_name(m->rkt);
			struct source *s = sources;

			while (strcmp(s->topic, topic))
				s++;
			if (s->next < to) {
				status = message_check(m, s->next++, s->base, s->headers);
				missing--;
			}
		} else if (m && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF && m->err != RD_KAFKA_RESP_ERR__TRANSPORT &&
			   m->err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
			status = fail("%s", rd_kafka_message_errstr(m));
		}
		if (m)
			rd_kafka_message_destroy(m);
		if (status)
			return status;
		if (time(NULL) > deadline)
			return fail("%d records have not come in time", missing);
	}
	return 0;
}

static rd_kafka_t *consumer_new(const char *group)
{
	const char *settings[] = { "group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", "false",
				   "fetch.wait.max.ms", "100", "max.partition.fetch.bytes", "30000",
				   "session.timeout.ms", "6000", "heartbeat.interval.ms", "500", NULL };
	rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, settings);

	if (rk)
		rd_kafka_poll_set_consumer(rk);
	return rk;
}

static int read_all(struct source *sources, int count, int to)
{
	rd_kafka_t *rk = consumer_new("unused");
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
	int status;

	if (!rk)
		return -1;
	for (int i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, sources[i].topic, 0)->offset = sources[i].next;
	rd_kafka_assign(rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	status = consume(rk, sources, count, to);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return status;
}

static int read_from(const char *topic, int from, int to, long long base, int headers)
{
	return read_all(&(struct source){ topic, base, headers, from }, 1, to);
}

/* Words are "topic,base,headers". */
static int cross(int to, char **words, int count)
{
	static struct source sources[SOURCES_MAX];

	if (count > SOURCES_MAX)
		return fail("more than %d topics", SOURCES_MAX);
	for (int i = 0; i < count; i++) {
		sources[i] = (struct source){ .topic = words[i], .base = atoll(strchr(words[i], ',') + 1),
					      .headers = atoi(strrchr(words[i], ',') + 1) };
		*strchr(words[i], ',') = 0;
	}
	return read_all(sources, count, to);
}

static int read_from_time(const char *topic, int index, int to, long long base, int headers)
{
	rd_kafka_t *rk = consumer_new("unused");
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *row = rd_kafka_topic_partition_list_add(list, topic, 0);
	rd_kafka_resp_err_t err;
	long long found;

	if (!rk)
		return -1;
	row->offset = base + index * 1000LL - 500;
	err = rd_kafka_offsets_for_times(rk, list, WAIT_S * 1000);
	found = row->offset;
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(rk);
	if (err)
		return fail("%s", rd_kafka_err2str(err));
	if (found != index)
		return fail("offset %lld found by time where %d was due", found, index);
	return read_from(topic, index, to, base, headers);
}

static rd_kafka_t *member_new(const char *topic, const char *group)
{
	rd_kafka_t *rk = consumer_new(group);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t err;

	rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
	err = rk ? rd_kafka_subscribe(rk, list) : RD_KAFKA_RESP_ERR__FAIL;
	rd_kafka_topic_partition_list_destroy(list);
	if (!err)
		return rk;
	fail("subscribe: %s", rd_kafka_err2str(err));
	if (rk)
		rd_kafka_destroy(rk);
	return NULL;
}

static int commit(rd_kafka_t *rk, const char *topic, int offset, const char *metadata)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *row = rd_kafka_topic_partition_list_add(list, topic, 0);
	rd_kafka_resp_err_t err;

	row->offset = offset;
	row->metadata = strdup(metadata); /* the list's from here on */
	row->metadata_size = strlen(metadata);
	err = rd_kafka_commit(rk, list, 0);
	rd_kafka_topic_partition_list_destroy(list);
	return err ? fail("commit: %s", rd_kafka_err2str(err)) : 0;
}

static int read_in_group(const char *topic, const char *group, int from, int to, long long base, int headers)
{
	rd_kafka_t *rk = member_new(topic, group);
	char metadata[32];
	int status;

	if (!rk)
		return -1;
	snprintf(metadata, sizeof metadata, "at %d", to);
	status = consume(rk, &(struct source){ topic, base, headers, from }, 1, to);
	if (!status)
		status = commit(rk, topic, to, metadata);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return status;
}

static int committed(const char *topic, const char *group, int expected)
{
	rd_kafka_t *rk = consumer_new(group);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *row = rd_kafka_topic_partition_list_add(list, topic, 0);
	rd_kafka_resp_err_t err;
	char metadata[32];
	int status = 0;

	if (!rk)
		return -1;
	snprintf(metadata, sizeof metadata, "at %d", expected);
	err = rd_kafka_committed(rk, list, WAIT_S * 1000);
	if (err || row->err)
		status = fail("%s", rd_kafka_err2str(err ? err : row->err));
	else if (row->offset != expected || row->metadata_size != strlen(metadata) ||
		 memcmp(row->metadata, metadata, row->metadata_size))
		status = fail("committed is %lld, %.*s", (long long)row->offset, (int)row->metadata_size, (char *)row->metadata);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(rk);
	return status;
}

/* A consumer in a group that polls in its own thread; `partitions` is a bit for each that it is assigned. */
struct member {
	rd_kafka_t *rk;
	pthread_t thread;
	atomic_uint partitions;
	atomic_bool leaving;
};

static void *member_run(void *argument)
{
	struct member *m = argument;

	while (!m->leaving) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(m->rk, 50);
		rd_kafka_topic_partition_list_t *list;
		unsigned partitions = 0;

		if (message)
			rd_kafka_message_destroy(message);
		if (!rd_kafka_assignment(m->rk, &list)) {
			for (int i = 0; i < list->cnt; i++)
				partitions |= 1u << list->elems[i].partition;
			rd_kafka_topic_partition_list_destroy(list);
			m->partitions = partitions;
		}
	}
	rd_kafka_consumer_close(m->rk);
	rd_kafka_destroy(m->rk);
	return NULL;
}

static int member_start(struct member *m, const char *topic, const char *group)
{
	*m = (struct member){ .rk = member_new(topic, group) };
	if (!m->rk)
		return -1;
	return pthread_create(&m->thread, NULL, member_run, m) ? fail("no thread") : 0;
}

static void member_leave(struct member *m)
{
	m->leaving = true;
	pthread_join(m->thread, NULL);
}

/* Until the first has `first` partitions and the second `second`, and all four between them. */
static int members_have(struct member *a, struct member *b, int first, int second)
{
	time_t deadline = time(NULL) + WAIT_S;

	while (__builtin_popcount(a->partitions) != first || (b ? __builtin_popcount(b->partitions) : 0) != second ||
	       (a->partitions | (b ? b->partitions : 0)) != 15) {
		if (time(NULL) > deadline)
			return fail("members have %x and %x", a->partitions, b ? b->partitions : 0);
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	return 0;
}

static int members(const char *topic, const char *group)
{
	struct member a, b;
	int status = member_start(&a, topic, group);

	if (status)
		return status;
	status = members_have(&a, NULL, 4, 0);
	if (!status)
		status = member_start(&b, topic, group);
	if (!status) {
		status = members_have(&a, &b, 2, 2);
		member_leave(&b);
		if (!status)
			status = members_have(&a, NULL, 4, 0);
	}
	member_leave(&a);
	return status;
}

static rd_kafka_resp_err_t sent;

static void on_sent(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk;
	(void)opaque;
	sent = m->err;
}

/* A producer for single records, whose outcome is left in `sent`. */
static rd_kafka_t *sender_new(int idempotent)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
	rd_kafka_conf_set(conf, "acks", "all", NULL, 0);
	rd_kafka_conf_set(conf, "enable.idempotence", idempotent ? "true" : "false", NULL, 0);
	rd_kafka_conf_set(conf, "message.max.bytes", "20000000", NULL, 0);
	rd_kafka_conf_set_dr_msg_cb(conf, on_sent);
	return rd_kafka_new(RD_KAFKA_PRODUCER, conf, failure, sizeof failure);
}

static rd_kafka_resp_err_t send_one(rd_kafka_t *rk, const char *topic, const void *value, size_t size)
{
	rd_kafka_resp_err_t err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
						    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
						    RD_KAFKA_V_VALUE((void *)value, size), RD_KAFKA_V_END);

	sent = RD_KAFKA_RESP_ERR__TIMED_OUT;
	if (!err)
		err = rd_kafka_flush(rk, WAIT_S * 1000);
	return err ? err : sent;
}

static int large(const char *topic, int size)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	char *value = malloc(LARGE_SIZE_MAX);
	rd_kafka_t *rk = sender_new(0);
	rd_kafka_resp_err_t err;
	int status = 0;

	text(1, value, 2 * size);
	err = send_one(rk, topic, value, size);
	if (err)
		status = fail("%s", rd_kafka_err2str(err));
	err = send_one(rk, topic, value, 2 * size);
	if (!status && err != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
		status = fail("a record of twice the size gave %s", rd_kafka_err2name(err));
	rd_kafka_destroy(rk);

	rk = consumer_new("unused");
	rd_kafka_topic_partition_list_add(list, topic, 0)->offset = 0;
	rd_kafka_assign(rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	for (time_t deadline = time(NULL) + WAIT_S; !status;) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);

		if (m && !m->err) {
			if (m->len != (size_t)size || memcmp(m->payload, value, size))
				status = fail("%zu bytes came back, or others", m->len);
			rd_kafka_message_destroy(m);
			break;
		}
		if (m)
			rd_kafka_message_destroy(m);
		if (time(NULL) > deadline)
			status = fail("it has not come in time");
	}
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	free(value);
	return status;
}

/* Writes records `from` to `to` one after another and reads up to there; `seen` goes on from call to call. */
static int through_part(rd_kafka_t *producer, rd_kafka_t *consumer, const char *topic, int from, int to, int idempotent, int *seen,
			int64_t *position)
{
	time_t deadline = time(NULL) + 2 * WAIT_S;
	rd_kafka_resp_err_t err;
	char value[16];

	for (int i = from; i < to; i++) {
		snprintf(value, sizeof value, "%d", i);
		while ((err = send_one(producer, topic, value, strlen(value))))
			if (time(NULL) > deadline)
				return fail("%s", rd_kafka_err2str(err));
	}
	while (*seen < to) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 200);

		/* What is below the position is read again after the member had to join again. */
		if (m && !m->err && m->offset >= *position) {
			*position = m->offset + 1;
			snprintf(value, sizeof value, "%.*s", (int)m->len, (char *)m->payload);
			if (atoi(value) != *seen && (idempotent || atoi(value) != *seen - 1))
				return fail("%s at offset %lld where %d was due", value, (long long)m->offset, *seen);
			*seen = atoi(value) + 1;
		}
		if (m)
			rd_kafka_message_destroy(m);
		if (time(NULL) > deadline)
			return fail("only %d of %d came in time", *seen, to);
	}
	return 0;
}

static int through(const char *topic, const char *group, int count, int idempotent)
{
	rd_kafka_t *producer = sender_new(idempotent), *consumer = member_new(topic, group);
	char line[16];
	int64_t position = 0;
	int seen = 0, status;

	if (!producer || !consumer)
		return -1;
	status = through_part(producer, consumer, topic, 0, count / 2, idempotent, &seen, &position);
	if (!status)
		status = commit(consumer, topic, count / 2, "");
	if (!status) {
		printf("half\n");
		fflush(stdout);
		if (!fgets(line, sizeof line, stdin))
			status = fail("not told to go on");
	}
	if (!status)
		status = through_part(producer, consumer, topic, count / 2, count, idempotent, &seen, &position);
	if (!status)
		status = commit(consumer, topic, count, "");
	rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
	rd_kafka_destroy(producer);
	return status;
}

static int run(int n, char **a)
{
	if (n == 7 && !strcmp(a[0], "produce"))
		return produce(a[1], a[2], atoi(a[3]), atoll(a[4]), atoi(a[5]), atoi(a[6]));
	if (n == 6 && !strcmp(a[0], "read"))
		return read_from(a[1], atoi(a[2]), atoi(a[3]), atoll(a[4]), atoi(a[5]));
	if (n > 2 && !strcmp(a[0], "cross"))
		return cross(atoi(a[1]), a + 2, n - 2);
	if (n == 6 && !strcmp(a[0], "time"))
		return read_from_time(a[1], atoi(a[2]), atoi(a[3]), atoll(a[4]), atoi(a[5]));
	if (n == 7 && !strcmp(a[0], "group"))
		return read_in_group(a[1], a[2], atoi(a[3]), atoi(a[4]), atoll(a[5]), atoi(a[6]));
	if (n == 4 && !strcmp(a[0], "committed"))
		return committed(a[1], a[2], atoi(a[3]));
	if (n == 3 && !strcmp(a[0], "members"))
		return members(a[1], a[2]);
	if (n == 3 && !strcmp(a[0], "large") && 2 * atoi(a[2]) <= LARGE_SIZE_MAX)
		return large(a[1], atoi(a[2]));
	if (n == 4 && !strcmp(a[0], "admin"))
		return administration(a[1], a[2], a[3]);
	if (n == 5 && !strcmp(a[0], "through"))
		return through(a[1], a[2], atoi(a[3]), atoi(a[4]));
	return fail("unknown command");
}

int main(int argc, char **argv)
{
	static char line[LINE_SIZE_MAX];

	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "--version")) {
		puts(rd_kafka_version_str());
		return 0;
	}
	bootstrap = argv[1];
	while (fgets(line, sizeof line, stdin)) {
		static char *words[SOURCES_MAX + 8];
		int n = 0;

		for (char *word = strtok(line, " \n"); word && n < SOURCES_MAX + 8; word = strtok(NULL, " \n"))
			words[n++] = word;
		if (run(n, words))
			printf("FAIL %s\n", failure);
		else
			printf("ok\n");
		fflush(stdout);
	}
	return 0;
}
