"""The four ways of changing a part of an object. All of them are pure and leave their arguments alone."""
