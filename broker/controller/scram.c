#include "broker/controller/scram.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "runtime/library.h"

enum { ITERATIONS_MIN = 4096, ITERATIONS_MAX = 16384, SALT_SIZE = 26 };

struct scram_parts {
	struct str name, password, salt, salted_password, iterations;
};

static struct {
	LIBRARY_FUNCTION(EVP_DecodeBlock);
	LIBRARY_FUNCTION(EVP_Digest);
	LIBRARY_FUNCTION(EVP_MD_get_size);
	LIBRARY_FUNCTION(EVP_sha256);
	LIBRARY_FUNCTION(EVP_sha512);
	LIBRARY_FUNCTION(HMAC);
	LIBRARY_FUNCTION(PKCS5_PBKDF2_HMAC);
} crypto;

static int crypto_need(void)
{
	static const struct library_function functions[] = {
		LIBRARY_ROW(crypto, EVP_DecodeBlock),
		LIBRARY_ROW(crypto, EVP_Digest),
		LIBRARY_ROW(crypto, EVP_MD_get_size),
		LIBRARY_ROW(crypto, EVP_sha256),
		LIBRARY_ROW(crypto, EVP_sha512),
		LIBRARY_ROW(crypto, HMAC),
		LIBRARY_ROW(crypto, PKCS5_PBKDF2_HMAC),
	};
	static struct library library = {.file = "libcrypto.so.3",
		.functions = functions,
		.function_count = array_length(functions)};

	return library_need(&library);
}

static struct str trim(struct str text)
{
	while (text.size > 0 && (unsigned char)text.data[0] <= ' ') {
		text.data++;
		text.size--;
	}
	while (text.size > 0 && (unsigned char)text.data[text.size - 1] <= ' ')
		text.size--;
	return text;
}

static struct str cut(struct str text, int32_t from, int32_t to)
{
	return (struct str){.data = text.data + from, .size = to - from};
}

static int32_t find(struct str text, char wanted)
{
	const char *at = text.size > 0 ? memchr(text.data, wanted, (size_t)text.size) : NULL;

	return at ? (int32_t)(at - text.data) : -1;
}

static int take_part(
	struct str part, struct scram_parts *parts, struct arena *arena, const char **ret_why)
{
	int32_t equals = find(part, '=');
	struct str name, value;

	if (equals < 0) {
		*ret_why = arena_printf(
			arena, "No equals sign found in SCRAM component: %.*s", STR_ARGS(part));
		return -EINVAL;
	}
	name = cut(part, 0, equals);
	value = cut(part, equals + 1, part.size);
	if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
		value = cut(value, 1, value.size - 1);
	if (str_equal(name, STR("name")))
		parts->name = value;
	else if (str_equal(name, STR("password")))
		parts->password = value;
	else if (str_equal(name, STR("salt")))
		parts->salt = value;
	else if (str_equal(name, STR("saltedpassword")))
		parts->salted_password = value;
	else if (str_equal(name, STR("iterations")))
		parts->iterations = value;
	else {
		*ret_why =
			arena_printf(arena, "Unknown SCRAM configurations: %.*s", STR_ARGS(name));
		return -EINVAL;
	}
	return 0;
}

static int take_parts(
	struct str text, struct scram_parts *parts, struct arena *arena, const char **ret_why)
{
	int error = 0;

	*parts = (struct scram_parts){STR_NULL, STR_NULL, STR_NULL, STR_NULL, STR_NULL};
	while (error == 0 && text.size >= 0) {
		int32_t comma = find(text, ',');

		error = take_part(
			cut(text, 0, comma < 0 ? text.size : comma), parts, arena, ret_why);
		if (comma < 0)
			break;
		text = cut(text, comma + 1, text.size);
	}
	if (error == 0 && str_is_null(parts->name)) {
		*ret_why = "You must supply 'name' to add-scram";
		error = -EINVAL;
	}
	if (error == 0 && str_is_null(parts->password) && str_is_null(parts->salted_password)) {
		*ret_why = "You must supply one of 'password' or 'saltedpassword' to add-scram";
		error = -EINVAL;
	}
	if (error == 0 && str_is_null(parts->password) && str_is_null(parts->salt)) {
		*ret_why = "You must supply 'salt' with 'saltedpassword' to add-scram";
		error = -EINVAL;
	}
	return error;
}

/* Standard base64, padded or not. */
static int decode_base64(struct str text, struct arena *arena, struct bytes *ret)
{
	int32_t padded = (text.size + 3) / 4 * 4, padding = 0;
	char *input = arena_alloc(arena, (size_t)padded + 1);
	uint8_t *output = arena_alloc(arena, (size_t)padded + 1);
	int size;

	if (!input || !output)
		return -ENOMEM;
	memcpy(input, text.data, (size_t)text.size);
	memset(input + text.size, '=', (size_t)(padded - text.size));
	while (padding < padded && input[padded - 1 - padding] == '=')
		padding++;
	size = crypto.EVP_DecodeBlock(output, (const unsigned char *)input, padded);
	if (size < 0 || padding > 2)
		return -EINVAL;
	*ret = (struct bytes){.data = output, .size = size - padding};
	return 0;
}

static int take_salt(struct scram_parts *parts, const uint8_t entropy[32], struct arena *arena,
	struct bytes *ret, const char **ret_why)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char *salt;
	int error;

	if (!str_is_null(parts->salt)) {
		error = decode_base64(parts->salt, arena, ret);
		if (error == -EINVAL)
			*ret_why = arena_printf(
				arena, "Failed to decode given salt: %.*s", STR_ARGS(parts->salt));
		return error;
	}
	salt = arena_alloc(arena, SALT_SIZE);
	if (!salt)
		return -ENOMEM;
	for (int i = 0; i < SALT_SIZE; i++)
		salt[i] = digits[entropy[i] % 36];
	*ret = (struct bytes){.data = (const uint8_t *)salt, .size = SALT_SIZE};
	return 0;
}

static int take_iterations(struct scram_parts *parts, const char *mechanism, struct arena *arena,
	int32_t *ret, const char **ret_why)
{
	char digits[12] = "", *end = digits;
	long iterations = ITERATIONS_MIN;

	if (!str_is_null(parts->iterations)) {
		if (parts->iterations.size > 0 && parts->iterations.size < (int32_t)sizeof(digits))
			memcpy(digits, parts->iterations.data, (size_t)parts->iterations.size);
		iterations = strtol(digits, &end, 10);
		if (end == digits || *end != '\0') {
			*ret_why = arena_printf(arena, "Failed to parse iterations count: %.*s",
				STR_ARGS(parts->iterations));
			return -EINVAL;
		}
	}
	if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
		*ret_why = arena_printf(arena,
			"The 'iterations' value must be %s %d for add-scram using %s",
			iterations < ITERATIONS_MIN ? ">=" : "<=",
			iterations < ITERATIONS_MIN ? ITERATIONS_MIN : ITERATIONS_MAX, mechanism);
		return -EINVAL;
	}
	*ret = (int32_t)iterations;
	return 0;
}

/* StoredKey and ServerKey out of the salted password. */
static int derive_keys(const EVP_MD *digest, const uint8_t *salted, int salted_size,
	struct arena *arena, struct user_scram_credential_record *record)
{
	uint8_t client_key[EVP_MAX_MD_SIZE];
	uint8_t *stored_key = arena_alloc(arena, EVP_MAX_MD_SIZE),
		*server_key = arena_alloc(arena, EVP_MAX_MD_SIZE);
	unsigned size;

	if (!stored_key || !server_key)
		return -ENOMEM;
	if (!crypto.HMAC(digest, salted, salted_size, (const unsigned char *)"Client Key", 10, client_key,
		    &size) ||
		!crypto.EVP_Digest(client_key, size, stored_key, &size, digest, NULL) ||
		!crypto.HMAC(digest, salted, salted_size, (const unsigned char *)"Server Key", 10,
			server_key, &size))
		return -ENOMEM;
	record->stored_key = (struct bytes){.data = stored_key, .size = (int32_t)size};
	record->server_key = (struct bytes){.data = server_key, .size = (int32_t)size};
	return 0;
}

static int derive(const EVP_MD *digest, struct scram_parts *parts, struct arena *arena,
	struct user_scram_credential_record *record, const char **ret_why)
{
	uint8_t salted[EVP_MAX_MD_SIZE];
	struct bytes given;
	int size = crypto.EVP_MD_get_size(digest), error;

	if (!str_is_null(parts->password)) {
		if (crypto.PKCS5_PBKDF2_HMAC(parts->password.data, parts->password.size, record->salt.data,
			    record->salt.size, record->iterations, digest, size, salted) != 1)
			return -ENOMEM;
		return derive_keys(digest, salted, size, arena, record);
	}
	error = decode_base64(parts->salted_password, arena, &given);
	if (error == -EINVAL)
		*ret_why = arena_printf(arena, "Failed to decode given saltedPassword: %.*s",
			STR_ARGS(parts->salted_password));
	return error < 0 ? error : derive_keys(digest, given.data, given.size, arena, record);
}

int scram_parse(struct str text, const uint8_t salt_entropy[32], struct arena *arena,
	struct user_scram_credential_record *record, const char **ret_why)
{
	struct scram_parts parts;
	const char *mechanism;
	const EVP_MD *digest;
	struct str name, rest;
	int32_t equals;
	int error = crypto_need();

	if (error < 0) {
		*ret_why = "SCRAM credentials need OpenSSL's libcrypto.so.3, which is not installed";
		return error;
	}
	text = trim(text);
	equals = find(text, '=');
	if (equals < 0) {
		*ret_why = arena_printf(arena,
			"Failed to find equals sign in SCRAM argument '%.*s'", STR_ARGS(text));
		return -EINVAL;
	}
	name = cut(text, 0, equals);
	rest = cut(text, equals + 1, text.size);
	schema_init(&user_scram_credential_record_schema, record);
	if (str_equal(name, STR("SCRAM-SHA-256"))) {
		record->mechanism = SCRAM_SHA_256;
		mechanism = "SCRAM_SHA_256";
		digest = crypto.EVP_sha256();
	} else if (str_equal(name, STR("SCRAM-SHA-512"))) {
		record->mechanism = SCRAM_SHA_512;
		mechanism = "SCRAM_SHA_512";
		digest = crypto.EVP_sha512();
	} else {
		*ret_why = arena_printf(
			arena, "The add-scram mechanism %.*s is not supported.", STR_ARGS(name));
		return -EINVAL;
	}
	if (rest.size < 1 || rest.data[0] != '[') {
		*ret_why = "Expected configuration string to start with [";
		return -EINVAL;
	}
	if (rest.size < 2 || rest.data[rest.size - 1] != ']') {
		*ret_why = "Expected configuration string to end with ]";
		return -EINVAL;
	}
	error = take_parts(cut(rest, 1, rest.size - 1), &parts, arena, ret_why);
	if (error == 0)
		error = take_salt(&parts, salt_entropy, arena, &record->salt, ret_why);
	if (error == 0)
		error = take_iterations(&parts, mechanism, arena, &record->iterations, ret_why);
	if (error == 0)
		error = derive(digest, &parts, arena, record, ret_why);
	record->name = parts.name;
	return error;
}
