/*
 * vector.h - one function, several instruction sets: the build names no processor, the loader
 * picks.
 *
 * ISO C lets GCC fuse no products with sums, so all versions of a function round alike. Resolvers
 * run before a sanitizer is ready, which is why sanitized builds have the plain version alone.
 */
#ifndef ADDER_VECTOR_H
#define ADDER_VECTOR_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__OPTIMIZE__)
#define VECTOR_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define VECTOR_CLONES
#endif

#endif
