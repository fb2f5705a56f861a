/*
 * Calls with bad input. Written with these two, so that house.bad_input can see that every public
 * function is called with NULL for each of its pointers; a function that is added without such
 * calls fails it. Include cmocka.h before.
 */
#ifndef TESTS_SUPPORT_BAD_INPUT_H
#define TESTS_SUPPORT_BAD_INPUT_H

/* The function says so by its status. */
#define REFUSES(status, function, ...) assert_int_equal(function(__VA_ARGS__), status)
/* What the function gives instead, if anything: as an expression. */
#define BADLY(function, ...) function(__VA_ARGS__)

#endif
