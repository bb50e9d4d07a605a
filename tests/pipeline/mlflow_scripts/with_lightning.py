"""A script as a user of PyTorch Lightning has it."""

import lightning
import mlflow
import torch
from torch.utils.data import DataLoader, TensorDataset

mlflow.pytorch.autolog()
lightning.seed_everything(0)
torch.set_num_threads(1)


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, _):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layer(x), y)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


x = torch.randn(64, 2)
loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16)
trainer = lightning.Trainer(
    max_epochs=3, log_every_n_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
)
with mlflow.start_run():
    trainer.fit(Line(), loader)
