"""DMER, any of its four layouts; as it stands for one person's pre-split file (LEAKY, see below).

python -m mpcl_jax.main --config configs/dmer.py --config.data.path=datas_all_fea_1.mat
"""

from configs import dataset


def get_config():
    config = dataset.get_config()
    config.data.kind = "dmer"
    config.protocol.kind = "window80"
    config.protocol.only = ()
    config.model.dropout = 0.1
    config.train.epochs = 150
    return config
