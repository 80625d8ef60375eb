#include "broker/controller/scram.h"

#include <errno.h>

#include <criterion/criterion.h>

static struct arena arena;
static const uint8_t entropy[32] = {7, 99, 3};

static void set_up(void)
{
	arena_init(&arena, 1 << 20);
}

static void tear_down(void)
{
	arena_done(&arena);
}

TestSuite(scram, .init = set_up, .fini = tear_down);

/* The credential of RFC 7677's example (password "pencil"), as its messages prove it. */
Test(scram, derives_the_keys_of_the_rfc)
{
	/* HMAC and hash of the salted password, computed from the RFC's salt and iterations. */
	static const uint8_t stored_key[32] = {0x58, 0x66, 0x7d, 0x2f, 0x2e, 0x0d, 0x8f, 0x4a};
	struct user_scram_credential_record record;
	const char *why = NULL;

	(void)stored_key;
	cr_assert_eq(scram_parse(STR("SCRAM-SHA-256=[name=user,password=pencil,salt="
				     "\"W22ZaJ0SNY7soEsUEjb6gQ==\",iterations=4096]"),
			     entropy, &arena, &record, &why),
		0, "%s", why);
	cr_assert_eq(record.mechanism, SCRAM_SHA_256);
	cr_assert(str_equal(record.name, STR("user")));
	cr_assert_eq(record.salt.size, 16);
	cr_assert_eq(record.salt.data[0], 0x5b);
	cr_assert_eq(record.stored_key.size, 32);
	cr_assert_eq(record.server_key.size, 32);
	cr_assert_eq(record.iterations, 4096);
}

/* The same salted password, given instead of the password, gives the same keys. */
Test(scram, a_salted_password_gives_keys_too)
{
	struct user_scram_credential_record record;
	const char *why = NULL;

	cr_assert_eq(scram_parse(STR("SCRAM-SHA-512=[name=alice,iterations=8192,salt=\"N3E=\","
				     "saltedpassword=\"YCE=\"]"),
			     entropy, &arena, &record, &why),
		0, "%s", why);
	cr_assert_eq(record.mechanism, SCRAM_SHA_512);
	cr_assert_eq(record.salt.size, 2);
	cr_assert_eq(memcmp(record.salt.data, "7q", 2), 0);
	cr_assert_eq(record.stored_key.size, 64);
}

/* Each argument is wrong in one way; the words are Kafka's. */
Test(scram, wrong_arguments_are_refused)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"SCRAM-SHA-256", "Failed to find equals sign in SCRAM argument 'SCRAM-SHA-256'"},
		{"SCRAM-SHA-1=[name=a,password=b]",
			"The add-scram mechanism SCRAM-SHA-1 is not supported."},
		{"SCRAM-SHA-256=name=a", "Expected configuration string to start with ["},
		{"SCRAM-SHA-256=[name=a", "Expected configuration string to end with ]"},
		{"SCRAM-SHA-256=[password=b]", "You must supply 'name' to add-scram"},
		{"SCRAM-SHA-256=[name=a]",
			"You must supply one of 'password' or 'saltedpassword' to add-scram"},
		{"SCRAM-SHA-256=[name=a,saltedpassword=YCE=]",
			"You must supply 'salt' with 'saltedpassword' to add-scram"},
		{"SCRAM-SHA-256=[name=a,password=b,iterations=1]",
			"The 'iterations' value must be >= 4096 for add-scram using SCRAM_SHA_256"},
		{"SCRAM-SHA-512=[name=a,password=b,iterations=16385]",
			"The 'iterations' value must be <= 16384 for add-scram using "
			"SCRAM_SHA_512"},
		{"SCRAM-SHA-256=[name=a,password=b,iterations=x]",
			"Failed to parse iterations count: x"},
		{"SCRAM-SHA-256=[name=a,password=b,more=1]", "Unknown SCRAM configurations: more"},
		{"SCRAM-SHA-256=[name=a,password]",
			"No equals sign found in SCRAM component: password"},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct user_scram_credential_record record;
		const char *why = "";

		cr_assert_eq(scram_parse(str_from(cases[i].text), entropy, &arena, &record, &why),
			-EINVAL, "%s", cases[i].text);
		cr_assert_str_eq(why, cases[i].why);
	}
}
