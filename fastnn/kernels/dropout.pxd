"""What other kernels with dropout need: a checked seed or stream, and the cells of a state {seed, stream}."""
from libc.stdint cimport uint64_t

cdef uint64_t word(object value, str name) except? 0
cdef uint64_t *words(object state) except NULL
