"""Tokenizers of a few hundred tokens, of the kinds that decoders and encoders have."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SENTENCES = [
    "The capital of France is Paris.",
    "The capital of New Guinea is Port Moresby.",
    "Paris is the capital of France and Rome is that of Italy.",
    "A pub by the river serves cheap Italian food.",
]
SIZE = 330  # no tokenizer has more tokens


def decoder_tokenizer(padding_side="right", pad="<pad>"):
    """Byte-level BPE, as GPT-2's; `pad` may be the end token."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(SENTENCES, _trainer(["<end>", "<pad>"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<end>",
        pad_token=pad,
        padding_side=padding_side,
        model_input_names=["input_ids", "attention_mask"],
    )


def wordpiece_tokenizer():
    """Cased WordPiece with a mask, as BERT's."""
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.decoder = decoders.WordPiece()
    special = {
        f"{kind}_token": f"[{kind.upper()}]" for kind in ("pad", "unk", "cls", "sep", "mask")
    }
    words.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=SIZE, special_tokens=[*special.values()])
    )
    ends = [(name, words.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
    words.post_processor = processors.BertProcessing(*ends)
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=words, model_input_names=names, **special)


def byte_level_tokenizer(lstrip):
    """Byte-level BPE with a mask, as RoBERTa's, which takes in the space before it (`lstrip`)."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(SENTENCES, _trainer(["<s>", "<pad>", "</s>"]))
    words.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        mask_token=AddedToken("<mask>", lstrip=lstrip, special=True),
        model_input_names=["input_ids", "attention_mask"],
    )


def _trainer(special):
    return trainers.BpeTrainer(
        vocab_size=SIZE - 1,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
