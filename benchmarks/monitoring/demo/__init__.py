"""A champion that knows Census writers only meets students: the whole loop, on genuine digits."""
