/*
 * sigv4_vectors.h - the test suite that AWS published for Signature Version 4, header form. All
 * have the key AKIDEXAMPLE, the host example.amazonaws.com, the region us-east-1, the service
 * "service", and SIGV4_VECTOR_TIME_S.
 */
#ifndef LIB_NET_SIGV4_VECTORS_H
#define LIB_NET_SIGV4_VECTORS_H

#include <stddef.h>

#define SIGV4_VECTOR_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
enum { SIGV4_VECTOR_TIME_S = 1440938160 };

struct sigv4_vector {
    const char *name;
    const char *method;
    const char *path;
    const char *query;
    const char *headers[4]; /* "Name:value", besides Host */
    const char *body;
    const char *token;
    const char *signature;
};

extern const struct sigv4_vector sigv4_vectors[];
extern const size_t sigv4_vector_count;

#endif
