/* Each rule of a group's history: kept, and broken. */
#include "group_history.h"

#include <criterion/criterion.h>
#include <string.h>

static struct history history;
static struct group_history group;

static void begin(void)
{
	memset(&history, 0, sizeof(history));
	group_history_init(&group, &history, 0);
}

static void end(void)
{
	group_history_done(&group);
}

TestSuite(group_history, .init = begin, .fini = end);

static void expect(const char *part)
{
	cr_assert(strstr(history.violation, part), "\"%s\" has no \"%s\"", history.violation, part);
}

static int64_t commit(int32_t generation)
{
	return group_history_commit(&group, 0, generation);
}

Test(group_history, accepts_one_owner_a_generation)
{
	group_history_own(&group, 1, 0, 7);
	group_history_own(&group, 1, 0, 7);
	group_history_own(&group, 1, 1, 8);
	group_history_own(&group, 2, 0, 8);
	cr_assert_str_empty(history.violation);
}

Test(group_history, finds_two_owners)
{
	group_history_own(&group, 1, 0, 7);
	group_history_own(&group, 1, 0, 8);
	expect("owned by clients 7 and 8");
}

Test(group_history, finds_a_generation_that_comes_back)
{
	group_history_lead(&group, 3, 7);
	group_history_lead(&group, 3, 8);
	expect("led by clients 7 and 8");
}

Test(group_history, a_generation_that_nobody_was_assigned_in_may_go_with_the_process)
{
	group_history_own(&group, 2, 0, 7);
	group_history_lead(&group, 3, 7);
	group_history_end(&group);
	group_history_lead(&group, 3, 8);
	cr_assert_str_empty(history.violation);
}

Test(group_history, finds_a_lost_commit)
{
	group_history_acknowledge(&group, 0, commit(1));
	group_history_see(&group, 0, -1);
	expect("has committed offset -1 where 0 was acknowledged");
}

Test(group_history, finds_a_commit_that_went_back)
{
	int64_t first = commit(1);

	group_history_acknowledge(&group, 0, first);
	group_history_acknowledge(&group, 0, commit(1));
	group_history_see(&group, 0, first);
	expect("has committed offset 0 where 1 was acknowledged");
}

Test(group_history, accepts_a_commit_whose_answer_was_lost_and_keeps_it)
{
	int64_t lost;

	group_history_acknowledge(&group, 0, commit(1));
	lost = commit(1);
	group_history_see(&group, 0, 0);
	group_history_see(&group, 0, lost);
	cr_assert_str_empty(history.violation);
	group_history_see(&group, 0, 0);
	expect("has committed offset 0 where 1 was acknowledged");
}

Test(group_history, finds_a_commit_of_a_fenced_generation)
{
	int64_t lost = commit(1);

	group_history_acknowledge(&group, 0, commit(2));
	group_history_see(&group, 0, lost);
	expect("has committed offset 0");
}

Test(group_history, finds_a_refused_commit)
{
	int64_t refused = commit(1);

	group_history_refuse(&group, 0, refused);
	group_history_see(&group, 0, refused);
	expect("has committed offset 0");
}
