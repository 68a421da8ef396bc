/*
 * proto_text.h - protobuf messages as text that a person can check. For tests.
 *
 *     0a          a byte in hex: mostly a tag
 *     { ... }     the bytes inside, preceded by their length
 *     'text'      bytes as they are
 *     =-5         a varint (negative ones take ten bytes)      ~-5   the same, zigzag
 *     #1.5        eight bytes, a double                        space   ignored
 *
 * So "0a{ 0a{'job'} 12{'api'} }" is a label.
 */
#ifndef LIB_WIRE_PROTO_TEXT_H
#define LIB_WIRE_PROTO_TEXT_H

#include "base/buf.h"

/* Appends the message to `to`. Stops at the end or at the brace that closes it; returns where. */
const char *proto_text(struct buf *to, const char *p);

#endif
