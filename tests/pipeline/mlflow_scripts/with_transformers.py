"""A script as a user of Transformers has it: the Trainer finds MLflow by itself."""

import os

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

os.environ["HF_MLFLOW_LOG_ARTIFACTS"] = "1"
set_seed(0)
torch.set_num_threads(1)


class Words(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        words = torch.tensor([index % 8, 1, 2, 3])
        return {"input_ids": words, "attention_mask": torch.ones(4, dtype=torch.long), "labels": torch.tensor(index % 2)}


config = BertConfig(
    vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, max_position_embeddings=8
)
arguments = TrainingArguments(
    output_dir="out",
    report_to="mlflow",
    num_train_epochs=2,
    per_device_train_batch_size=4,
    logging_steps=1,
    save_steps=8,
    seed=0,
    use_cpu=True,
    disable_tqdm=True,
)
Trainer(model=BertForSequenceClassification(config), args=arguments, train_dataset=Words()).train()
