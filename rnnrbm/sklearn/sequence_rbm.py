class SequenceRBM: pass
