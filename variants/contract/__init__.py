"""The interface of a training method, the base class of methods with a critic, and the search ranges of hyper-parameters."""
