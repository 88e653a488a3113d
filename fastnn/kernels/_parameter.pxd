"""The trainable arrays, as what goes through every step reads them."""

cdef class RowGradient:
    cdef readonly object rows, values, places, range


cdef class Parameter:
    cdef public object data
    cdef public object _grad
    cdef public bint stale
    cdef bint _is_replaced(self, kind) except -1
