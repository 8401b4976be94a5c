#pragma once

/// Marks a function whose plain loops the compiler vectorises once per instruction set, chosen when the program starts.
/// Contraction is off and no loop reorders a float sum, so all versions give the same bits. Not under the sanitizers,
/// whose run time is not ready when the choice is made.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define TESSERA_QUANT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TESSERA_QUANT_CLONES
#endif

#if defined(__GNUC__)
#define TESSERA_QUANT_INLINE inline __attribute__((always_inline))
#else
#define TESSERA_QUANT_INLINE inline
#endif
