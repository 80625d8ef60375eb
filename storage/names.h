/*
 * The names that Kafka gives to what lies in a log directory: a folder for each partition, and in
 * it files named by the first offset of their segment. Pure text, no file is touched here.
 */
#pragma once

#include "runtime/bytes.h"

enum {
	NAME_TOPIC_SIZE_MAX = 249,  /* characters of a topic's name */
	NAME_FOLDER_SIZE_MAX = 255, /* of a file system's name */
	NAME_FILE_SIZE_MAX = 64, /* "00000000000000000000.timeindex.cleaned" and a NUL, with room */
};

/* What a file in a partition's folder is, by its ending. */
enum log_file_kind {
	LOG_FILE_OTHER,
	LOG_FILE_DATA,		    /* .log */
	LOG_FILE_OFFSET_INDEX,	    /* .index */
	LOG_FILE_TIME_INDEX,	    /* .timeindex */
	LOG_FILE_TRANSACTION_INDEX, /* .txnindex */
	LOG_FILE_SNAPSHOT,	    /* .snapshot, of the producers */
};

/* A second ending that says in which state a file was left. */
enum log_file_state {
	LOG_FILE_LIVE,
	LOG_FILE_DELETED,   /* .deleted: to be removed */
	LOG_FILE_CLEANED,   /* .cleaned: a cleaner's unfinished work */
	LOG_FILE_SWAP,	    /* .swap: a cleaner's finished work that was not yet put in place */
	LOG_FILE_TEMPORARY, /* .tmp */
};

struct log_file_name {
	int64_t base_offset; /* -1 when the name doesn't begin with 20 digits */
	enum log_file_kind kind;
	enum log_file_state state;
};

/* Writes "00000000000000000042.log", with the state's ending. */
void log_file_name_print(char to[NAME_FILE_SIZE_MAX], int64_t base_offset, enum log_file_kind kind,
	enum log_file_state state);
struct log_file_name log_file_name_parse(const char *name);

/* What a folder in a log directory is. */
enum log_folder_kind {
	LOG_FOLDER_PARTITION, /* topic-3 */
	LOG_FOLDER_DELETE,    /* topic-3.<32 hex digits>-delete: to be removed */
	LOG_FOLDER_FUTURE,    /* topic-3.<...>-future: a replica moving between log directories */
	LOG_FOLDER_STRAY,     /* topic-3.<...>-stray: not of this cluster's metadata any more */
	LOG_FOLDER_IGNORED,   /* lost+found and the like */
	LOG_FOLDER_FOREIGN,   /* no such name: the start is refused */
};

struct log_folder_name {
	enum log_folder_kind kind;
	struct str topic; /* into the name */
	int32_t partition;
};

struct log_folder_name log_folder_name_parse(const char *name);
/* "topic-3.<32 hex digits>-delete"; a long topic's name is cut so that the name fits a file system.
 * UNIQUE is random. */
void log_folder_name_print_suffixed(char to[NAME_FOLDER_SIZE_MAX + 1], struct str topic,
	int32_t partition, const struct uuid *unique, const char *ending);
