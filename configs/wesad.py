"""WESAD, wrist signals, leave one subject out, 24 PANAS items, 60 s windows every 30 s.

    python -m mpcl_jax.main --config configs/wesad.py --config.data.path=WESAD

The folder is the official one (S2/S2.pkl, S2/S2_quest.csv, …). Ten subjects: two minutes on two cores and as many
for the baselines. Expect KL 0.0624 (one seed) where the train mean has 0.0674, ExtraTrees 0.0621 and ridge 0.0629.

The features follow a fixed rule made without labels (mpcl_jax/data/features/windows.py). Earlier versions used 22
features that had been chosen by the KL of ridge on these ten subjects, tested ones included: MPCL 0.0608,
ExtraTrees 0.0607, ridge 0.0611 with the same seed. The settings below were chosen on validation subjects of four
folds, each of whom is tested in another fold: they are not independent of the table."""

from mpcl_jax.config import preset


def get_config():
    config = preset("dataset")
    config.data.kind = "wesad"
    # Subjects differ more from one another than their conditions do.
    config.data.per_subject_standardise = True
    config.protocol.kind = "loso"
    config.protocol.only = ()
    # Five reports a subject: a small model, held back hard, trained briefly. Chosen on validation subjects of four
    # training parts (KL .0724 with the defaults, .0673 with these; train mean .0744).
    config.model.width = 32
    config.model.dropout = 0.4
    config.model.input_dropout = 0.4
    config.train.weight_decay = 0.1
    config.train.learning_rate = 1e-3
    config.train.epochs = 20
    return config
