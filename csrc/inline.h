/* inline.h — FNN_INLINE, for functions that must be part of their callers: with constants and functions as arguments they become the kernels.
 * Where size counts for more than speed (-Os), it is the compiler's choice. FNN_SHARED, for functions of which there is to be one copy, whatever
 * their callers' arguments. */
#ifndef FNN_INLINE_H
#define FNN_INLINE_H

#if defined(_MSC_VER) && !defined(__clang__)
#define FNN_INLINE static __forceinline
#elif defined(__GNUC__) && defined(__OPTIMIZE_SIZE__)
#define FNN_INLINE static inline __attribute__((unused))
#elif defined(__GNUC__)
#define FNN_INLINE static inline __attribute__((always_inline, unused))
#else
#define FNN_INLINE static inline
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define FNN_SHARED static __declspec(noinline)
#elif defined(__clang__)
#define FNN_SHARED static __attribute__((noinline))
#elif defined(__GNUC__)
#define FNN_SHARED static __attribute__((noinline, noclone))
#else
#define FNN_SHARED static
#endif

#endif
