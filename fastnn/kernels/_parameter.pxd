"""The trainable arrays, as what goes through every step reads them."""

cdef class Parameter:
    cdef public object data
    cdef public object _grad
    cdef public bint stale
